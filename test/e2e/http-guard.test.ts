import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson, start, startCalyx } from '../support/cli.js';
import { curl, sendRaw } from '../support/http.js';
import { TINY } from '../support/models.js';
import { noCurl } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';

const scratch = suiteDirectory();
let store: RunningStore;
let data: string;
let empty: string;

beforeAll(async () => {
  data = join(scratch, 'data');
  empty = join(scratch, 'empty');
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  store = await startStore(data, { args: ['--host-name', 'Store.LAN'] });
  return async () => {
    await store.stop();
  };
});

describe.skipIf(noCurl)('who gets an answer', () => {
  it.each([
    [[], 200],
    [['-H', 'Host: store.lan'], 200],
    [['-H', 'Host: localhost:1'], 200],
    [['-H', 'Host: [::1]:7070'], 200],
    // After DNS rebinding, the page's own name stands in the Host header.
    [['-H', 'Host: rebound.evil.example'], 403],
    [['-H', 'Host: rebound.evil.example', '-H', 'Origin: http://rebound.evil.example'], 403],
    [['-H', 'Host:'], 403],
    [['-0', '-H', 'Host:'], 403],
    [['-H', 'Origin: http://evil.example'], 403],
    [['-H', 'Origin: null'], 403],
    [['-H', 'Origin: http://127.0.0.1:1'], 403],
    [['-H', 'Origin: OWN'], 200],
    [['-H', 'Origin: OWN', '-H', 'Sec-Fetch-Site: same-origin'], 200],
    [['-H', 'Sec-Fetch-Site: cross-site'], 403],
    [['-H', 'Sec-Fetch-Site: same-site'], 403],
    [['-H', 'Sec-Fetch-Site: none'], 200],
  ])('%j: %d', async (args, status) => {
    const headers = args.map((arg) => arg.replace('OWN', store.url));
    for (const path of ['/v1/models', '/healthz', '/tree/models/org/tiny/config.json', '/metrics']) {
      const answer = await curl(`${store.url}${path}`, ...headers);
      // A request without a Host header is malformed in HTTP/1.1 (RFC 9112, section 3.2).
      const expected = status === 403 && answer.status === 400 && args.length === 2 ? 400 : status;
      expect(answer.status, path).toBe(expected);
      expect(answer.headers['access-control-allow-origin']).toBeUndefined();
      if (answer.status !== 200) expect(answer.body).not.toContain('hidden_size');
    }
  });

  it('refuses before it looks whether something exists, also what is malformed', async () => {
    for (const path of ['/nothing', '/v1/blobs/%zz', '/v1/blobs/x']) {
      expect((await curl(`${store.url}${path}`, '-H', 'Host: evil.example')).status, path).toBe(403);
    }
    expect((await curl(`${store.url}/v1/nodes/x`, '-X', 'DELETE', '-H', 'Origin: null')).status).toBe(403);
  });

  it('answers nonsense on the wire with an error and goes on', async () => {
    expect(await sendRaw(store.port, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await sendRaw(store.port, `GET /${'a'.repeat(20_000)} HTTP/1.1\r\n\r\n`)).toMatch(
      /^HTTP\/1\.1 4\d\d /,
    );
    expect((await curl(`${store.url}/healthz`)).status).toBe(200);
  });
});

describe('where a store listens', () => {
  it.each([
    ['store.invalid:0', 2, 'cannot listen on store.invalid'],
    ['127.0.0.1:65536', 2, 'is not an address to listen on'],
    ['127.0.0.1', 2, 'is not an address to listen on'],
    ['nonsense', 2, 'is not an address to listen on'],
    ['::1:80', 2, 'is not an address to listen on'],
  ])('%s is refused', async (listen, code, message) => {
    const ended = await calyx('store', '--data', empty, '--listen', listen, '--json');
    expect(ended.code).toBe(code);
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toMatch(/\bat .*\.js:/);
    expect(ended.stdout).toBe('');
  });

  it('an address that is not of this machine is refused', async () => {
    // 192.0.2.0/24 is set aside for examples (RFC 5737).
    const ended = await calyx('store', '--data', empty, '--listen', '192.0.2.1:0', '--insecure');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('cannot listen on 192.0.2.1');
  });

  it.each([['0.0.0.0'], ['[::]']])('beyond loopback (%s) it speaks TLS and asks who comes', async (host) => {
    const secured = await startStore(empty, { listen: `${host}:0` });
    expect(secured.url).toMatch(/^https:/);
    const asked = await start('curl', [
      '-sk',
      '-w',
      '%{http_code}',
      `https://127.0.0.1:${secured.port}/v1/models`,
    ]).ended;
    expect(asked).toMatchObject({ code: 0 });
    expect(asked.stdout).toMatch(/"code":"unauthenticated".*401$/);
    const plain = await start('curl', ['-s', `http://127.0.0.1:${secured.port}/v1/models`]).ended;
    expect(plain.stdout).toContain('https://');
    expect((await secured.stop()).code).toBe(0);
  });

  it('--tls and --insecure contradict each other', async () => {
    const ended = await calyx('store', '--data', empty, '--listen', '127.0.0.1:0', '--tls', '--insecure');
    expect(ended.code).toBe(2);
    expect(ended.stderr).toContain('contradict');
  });

  it('--insecure lets it listen beyond loopback in the open', async () => {
    const open = await startStore(empty, { listen: '0.0.0.0:0', args: ['--insecure'] });
    expect((await fetch(`http://127.0.0.1:${open.port}/healthz`)).status).toBe(200);
    // A join string for it would lead nobody in, and its token would travel in clear.
    const made = await calyx('token', 'create', '--name', 'refused', '--data', empty);
    expect(made).toMatchObject({ code: 1, stdout: '' });
    expect(made.stderr).toMatch(/speaks plain HTTP[^]*--tls[^]*--address/);
    const elsewhere = ['--name', 'kept', '--address', 'store.example:7070', '--data', empty];
    const kept = await calyx('token', 'create', ...elsewhere);
    expect(kept).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('calyx://store.example:7070/#') as string,
    });
    expect(kept.stderr).toContain('in clear');
    const listed = (await calyx('token', 'list', '--data', empty)).stdout.split('\n');
    expect(listed.find((line) => line.includes('refused'))).toContain('revoked');
    expect(listed.find((line) => line.includes('kept'))).toContain('good');
    expect((await open.stop()).code).toBe(0);
    const said = startCalyx(['store', '--data', empty, '--listen', '0.0.0.0:0', '--insecure', '--no-nfs']);
    await new Promise<void>((resolve) =>
      said.child.stderr?.on('data', (text: string) => text.includes('NOT SECURED') && resolve()),
    );
    said.child.kill();
    expect((await said.ended).code).toBe(0);
  });

  it('a port in use is told, with the way out', async () => {
    const ended = await calyx('store', '--data', empty, '--listen', `127.0.0.1:${store.port}`);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`the port ${store.port} of 127.0.0.1 is in use`);
    expect(ended.stderr).toContain('--listen');
    // The directory was given free again.
    const next = await startStore(empty);
    expect((await next.stop()).code).toBe(0);
  });

  it('a data directory has one store, whose process is named', async () => {
    const ended = await startCalyx(['store', '--data', data, '--listen', '127.0.0.1:0']).ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`in use by calyx store (process ${store.pid})`);
    expect((await fetch(`${store.url}/healthz`)).status).toBe(200);
  });
});
