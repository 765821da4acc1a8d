import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { curl, sendRaw } from '../support/http.js';
import { TINY } from '../support/models.js';
import { noCurl, sha256sum } from '../support/outside-tools.js';
import { egress, metric, startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';

const scratch = suiteDirectory();
const SHARD = 'model-00003-of-00004.safetensors';
let store: RunningStore;
let revision: string;
/** A shard's bytes and its digest, as the source and coreutils have them. */
let shard: Buffer;
let blob: string;

beforeAll(async () => {
  const data = join(scratch, 'data');
  revision = String((await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data))['revision']);
  store = await startStore(data);
  shard = await readFile(join(TINY, SHARD));
  blob = (await sha256sum([join(TINY, SHARD)]))[join(TINY, SHARD)] ?? '';
  return async () => {
    await store.stop();
  };
});

async function bytesOf(path: string): Promise<Buffer> {
  const answer = await fetch(`${store.url}${path}`);
  expect(answer.status, path).toBe(200);
  return Buffer.from(await answer.arrayBuffer());
}

describe.skipIf(noCurl)('blobs over HTTP, asked with curl', () => {
  const ask = (...args: string[]) => curl(`${store.url}/v1/blobs/${blob}`, ...args);

  it('sends all of it with its tag', async () => {
    const { status, headers } = await ask();
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-length': String(shard.byteLength),
      'accept-ranges': 'bytes',
      etag: `"${blob}"`,
      'content-type': 'application/octet-stream',
      'x-content-type-options': 'nosniff',
    });
    expect(headers['cache-control']).toContain('immutable');
    expect(await bytesOf(`/v1/blobs/${blob}`)).toEqual(shard);
  });

  it.each([
    ['0-0', 0, 1],
    ['8-1048584', 8, 1_048_577],
    ['1048575-1048576', 1_048_575, 2],
    ['-100', -100, 100],
    ['2857000-', 2_857_000, 568],
    ['2857000-99999999999', 2_857_000, 568],
  ])('sends the range %s', async (range, offset, length) => {
    const answer = await fetch(`${store.url}/v1/blobs/${blob}`, { headers: { range: `bytes=${range}` } });
    const start = offset < 0 ? shard.byteLength + offset : offset;
    expect(answer.status).toBe(206);
    expect(answer.headers.get('content-range')).toBe(
      `bytes ${start}-${start + length - 1}/${shard.byteLength}`,
    );
    expect(answer.headers.get('content-length')).toBe(String(length));
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(shard.subarray(start, start + length));
  });

  it('answers 416 past the end, and the connection stays usable', async () => {
    const { status, headers, body } = await ask('-r', '2857568-');
    expect({ status, body }).toEqual({ status: 416, body: '' });
    expect(headers['content-range']).toBe(`bytes */${shard.byteLength}`);
    const request = (range: string, more = '') =>
      `GET /v1/blobs/${blob} HTTP/1.1\r\nhost: 127.0.0.1\r\nrange: bytes=${range}\r\n${more}\r\n`;
    const answers = await sendRaw(store.port, request('99999999-') + request('0-7', 'connection: close\r\n'));
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 416', 'HTTP/1.1 206']);
    expect(answers.endsWith(`\r\n\r\n${shard.subarray(0, 8).toString('latin1')}`)).toBe(true);
  });

  it('answers HEAD without a body, with the length of the whole, and counts nothing as sent', async () => {
    const before = await egress(store.url);
    const plain = await ask('--head');
    expect(plain).toMatchObject({ status: 200, body: '' });
    expect(plain.headers['content-length']).toBe(String(shard.byteLength));
    // Ranges are defined for GET only (RFC 9110, section 14.2).
    const ranged = await ask('--head', '-r', '0-9');
    expect(ranged.status).toBe(200);
    expect(ranged.headers['content-length']).toBe(String(shard.byteLength));
    expect(await egress(store.url)).toBe(before);
  });

  it.each([
    ['If-None-Match of this tag', ['-H', 'If-None-Match: "TAG"'], 304],
    ['If-None-Match weak', ['-H', 'If-None-Match: W/"TAG"'], 304],
    ['If-None-Match *', ['-H', 'If-None-Match: *'], 304],
    ['If-None-Match in a list', ['-H', 'If-None-Match: "x", "TAG"'], 304],
    ['If-None-Match beats Range', ['-H', 'If-None-Match: "TAG"', '-r', '0-9'], 304],
    ['If-None-Match of another', ['-H', 'If-None-Match: "x"', '-r', '0-9'], 206],
    ['If-Range of this tag', ['-H', 'If-Range: "TAG"', '-r', '0-9'], 206],
    ['If-Range of another', ['-H', 'If-Range: "x"', '-r', '0-9'], 200],
    ['If-Range weak', ['-H', 'If-Range: W/"TAG"', '-r', '0-9'], 200],
    ['If-Range *', ['-H', 'If-Range: *', '-r', '0-9'], 200],
    ['If-Range of a date', ['-H', 'If-Range: Wed, 21 Oct 2015 07:28:00 GMT', '-r', '0-9'], 200],
    ['several ranges', ['-r', '0-1,4-5'], 200],
    ['no range at all', ['-H', 'Range: lines=1-2'], 200],
  ])('%s', async (_what, args, status) => {
    const headers = args.map((arg) => arg.replace('TAG', blob));
    const answer = await ask(...headers);
    expect(answer.status).toBe(status);
    expect(answer.headers['etag']).toBe(`"${blob}"`);
    if (status === 304) expect(answer.headers['content-length']).toBeUndefined();
  });

  it('counts the bytes that it sends, and has health and metrics', async () => {
    const before = await egress(store.url);
    await bytesOf(`/v1/blobs/${blob}`);
    expect((await egress(store.url)) - before).toBe(shard.byteLength);
    expect(await metric(store.url, 'calyx_store_disk_read_errors')).toBe(0);
    expect((await curl(`${store.url}/healthz`)).body).toBe('{"status":"ok"}');
    expect((await curl(`${store.url}/metrics`)).headers['content-type']).toContain('version=0.0.4');
  });

  it('refuses other methods', async () => {
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
      expect((await ask('-X', method)).status, method).toBe(404);
    }
    const again = await curl(`${store.url}/v1/nodes/x`, '-X', 'PUT', '-d', '{}');
    expect(again.status).toBe(415);
  });
});

describe.skipIf(noCurl)('paths that nobody should ask for', () => {
  it.each([
    ['/v1/blobs/../../etc/passwd', 404],
    ['/v1/blobs/..%2f..%2f..%2fetc%2fpasswd', 400],
    ['/v1/blobs/%2e%2e%2f%2e%2e', 400],
    ['/v1/blobs/%00', 400],
    ['/v1/blobs/DIGEST%00', 400],
    ['/v1/blobs/DIGEST/', 404],
    ['/v1/blobs/UPPER', 400],
    ['/v1/blobs/', 400],
    ['/v1/blobs/%zz', 400],
    ['/v1/blobs/LONG', 414],
    [`/v1/blobs/${'0'.repeat(64)}`, 404],
    [`/v1/manifests/${'0'.repeat(64)}`, 404],
    ['/v1/manifests/../refs', 404],
    ['/v1/models/org/..%2f..%2ftiny/revisions/main', 400],
    ['/v1/models/org/tiny/revisions/..%2fmain', 400],
    ['/v1/models/org/__proto__/revisions/main', 404],
    ['/v1/models/org/tiny/revisions/__proto__', 404],
    ['/tree/../../etc/passwd', 404],
    ['/tree/models/org/tiny/../../../../etc/passwd', 404],
    ['/tree/models/org/tiny/..%2f..%2f..%2f.calyx', 404],
    ['/tree/models/%2e%2e/%2e%2e/.calyx', 404],
    ['/tree/.calyx', 404],
    ['/tree/models/org/tiny/%00', 404],
    ['/tree/models/org/tiny/config.json/more', 404],
    ['/tree/models/org/tiny@main@main/config.json', 404],
    // What is pinned does not move, but a ref does.
    ['/tree/models/org/tiny@main/config.json', 404],
    ['/tree/slices/org/tiny/4-4', 404],
    ['/tree/slices/org/tiny/04-8', 404],
    ['/tree/slices/org/tiny/4-99', 404],
    ['/tree/slices/org/tiny/4-8+head+embed', 404],
    ['/tree/hub/models--org--tiny/snapshots/main', 404],
    ['/tree/hub/models--org--tiny/blobs', 404],
    ['/tree/DEEP', 404],
    ['/tree/LONG', 404],
    ['/', 404],
    ['//', 404],
    ['/constructor', 404],
  ])('%s', async (path, status) => {
    const asked = path
      .replace('DIGEST', blob)
      .replace('UPPER', blob.toUpperCase())
      .replace('LONG', 'a'.repeat(5000))
      .replace('DEEP', 'a/'.repeat(3000));
    const answer = await curl(`${store.url}${asked}`);
    expect(answer.status).toBe(status);
    expect(answer.body).not.toMatch(/root:|\/tmp\/|node_modules|\bat .*\.js:/);
    const { error } = JSON.parse(answer.body) as { error: { code: string; message: string } };
    expect(error.message.length).toBeLessThan(1000);
  });
});

describe('the views', () => {
  it('models/ and hub/ show the bytes of the source', async () => {
    const names = await readdir(TINY);
    for (const place of [
      `models/org/tiny`,
      `models/org/tiny@${revision}`,
      `hub/models--org--tiny/snapshots/${revision}`,
    ]) {
      const { entries } = JSON.parse((await bytesOf(`/tree/${place}`)).toString()) as { entries: string[] };
      expect([...entries].sort(), place).toEqual([...names].sort());
      for (const name of names) {
        const same = (await bytesOf(`/tree/${place}/${name}`)).equals(await readFile(join(TINY, name)));
        expect(same, `${place}/${name}`).toBe(true);
      }
    }
    expect((await bytesOf('/tree/hub/models--org--tiny/refs/main')).toString()).toBe(revision);
  });

  it('any range of a part is that part of the whole, across its segments too', async () => {
    const path = '/tree/slices/org/tiny/4-5/block-00004.safetensors';
    const whole = await bytesOf(path);
    const header = 8 + Number(whole.readBigUInt64LE());
    for (const [from, to] of [
      [0, 0],
      [0, header],
      [header - 1, header],
      [header, whole.byteLength - 1],
      [5, whole.byteLength - 5],
    ] as const) {
      const answer = await fetch(`${store.url}${path}`, { headers: { range: `bytes=${from}-${to}` } });
      expect(answer.status).toBe(206);
      expect(Buffer.from(await answer.arrayBuffer()).equals(whole.subarray(from, to + 1))).toBe(true);
    }
  });

  it('lists what exists', async () => {
    const list = async (path: string) =>
      (JSON.parse((await bytesOf(path)).toString()) as { entries: string[] }).entries;
    expect(await list('/tree/')).toEqual(['models', 'hub', 'slices']);
    expect(await list('/tree/models')).toEqual(['org']);
    expect(await list('/tree/models/org')).toEqual(['tiny', `tiny@${revision}`]);
    expect(await list('/tree/hub')).toEqual(['models--org--tiny']);
    expect(await list('/tree/slices/org/tiny/11-12+head')).toContain('block-00011.safetensors');
  });
});
