import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isCalyxError } from '../../src/core/errors.js';
import { S3Bucket, type S3BucketOptions } from '../../src/storage/remote/s3-bucket.js';
import { parseS3Location, s3Settings } from '../../src/storage/remote/s3-location.js';
import { suiteDirectory } from '../support/directories.js';
import { S3Proxy } from '../support/s3-proxy.js';
import { NO_OTHER_CREDENTIALS, S3_KEY, S3Server, noS3Server } from '../support/s3-server.js';

const directory = suiteDirectory();
const signal = new AbortController().signal;

/** What `printf '%s' … | sha256sum` says of `hello, bucket`. */
const HELLO = 'hello, bucket';
const HELLO_SHA256 = '6d873981e6d689bccd6a6fde3a2baf97332581d9ec47dce1436dae537e0b7f24';

function setEnv(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) {
    if (value === '') Reflect.deleteProperty(process.env, name);
    else process.env[name] = value;
  }
}

describe.skipIf(noS3Server !== undefined)(`a bucket of a real S3 server ${noS3Server ?? ''}`, () => {
  let server: S3Server;
  let proxy: S3Proxy;
  const before = { ...process.env };
  const open: S3Bucket[] = [];

  beforeAll(async () => {
    server = await S3Server.start();
    proxy = await S3Proxy.start(server.port);
    await server.makeBucket('garden');
    await server.makeBucket('open-garden');
    await server.makePublic('open-garden');
    mkdirSync(join(directory, 'a', 'b'), { recursive: true });
    writeFileSync(join(directory, 'a', 'hello.txt'), HELLO);
    writeFileSync(
      join(directory, 'a', 'b', 'ä name & more+.bin'),
      Buffer.from(Array.from({ length: 300_000 }, (_, at) => at % 251)),
    );
    writeFileSync(join(directory, 'a', 'empty'), '');
    await server.putDirectory('garden', 'roses', join(directory, 'a'), { checksum: true });
    await server.putDirectory('garden', 'roses-2', join(directory, 'a'));
    await server.putDirectory('open-garden', 'roses', join(directory, 'a'));
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });
  beforeEach(async () => {
    proxy.reset();
    setEnv({ ...server.env(), CALYX_S3_ENDPOINT: '' });
    await Promise.all(open.splice(0).map((bucket) => bucket.close()));
  });
  afterAll(async () => {
    await Promise.all(open.splice(0).map((bucket) => bucket.close()));
    for (const name of Object.keys({ ...server.env(), ...NO_OTHER_CREDENTIALS }))
      setEnv({ [name]: before[name] ?? '' });
  });

  async function bucketAt(text: string, options: S3BucketOptions = {}): Promise<S3Bucket> {
    const settings = s3Settings({ CALYX_S3_ENDPOINT: proxy.url });
    const bucket = await S3Bucket.open(parseS3Location(text), { settings, ...options }, signal);
    open.push(bucket);
    return bucket;
  }

  /** What a promise is rejected with. */
  async function failure(
    promise: Promise<unknown>,
  ): Promise<{ code: string; text: string; retryAfter: number | undefined }> {
    const error: unknown = await promise.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    if (!isCalyxError(error)) throw new Error(`no error of ours: ${String(error)}`);
    const text = `${error.message} ${error.hint ?? ''}`;
    for (const shown of [text, String((error.cause as Error | undefined)?.stack)]) {
      expect(shown).not.toContain(S3_KEY.secret);
      expect(shown).not.toContain(S3_KEY.id);
    }
    return { code: error.code, text, retryAfter: error.retryAfterSeconds };
  }

  it('lists what is under a prefix and not what only begins like it', async () => {
    const objects = await (await bucketAt('s3://garden/roses')).list(signal);
    expect(objects.map(({ key, size }) => [key, size])).toEqual([
      ['b/ä name & more+.bin', 300_000],
      ['empty', 0],
      ['hello.txt', HELLO.length],
    ]);
    const all = await (await bucketAt('s3://garden')).list(signal);
    expect(all.map(({ key }) => key)).toContain('roses-2/hello.txt');
    expect(await (await bucketAt('s3://garden/nothing')).list(signal)).toEqual([]);
  });
  it('reads ranges, and says what checksum the storage has', async () => {
    const bucket = await bucketAt('s3://garden/roses/');
    const target = new Uint8Array(1_000);
    await bucket.read('b/ä name & more+.bin', 250_000, target, { signal });
    expect([...target.subarray(0, 3)]).toEqual([250_000 % 251, 250_001 % 251, 250_002 % 251]);
    expect(proxy.bytesSent).toBe(1_000);
    const head = await bucket.head('hello.txt', { signal });
    expect(head).toMatchObject({ size: 13, sha256: HELLO_SHA256 });
    expect(await (await bucketAt('s3://garden/roses-2')).head('hello.txt', { signal })).not.toHaveProperty(
      'sha256',
    );
    const got = await bucket.get('hello.txt', 100, { signal, ifMatch: head.etag });
    expect(Buffer.from(got.bytes).toString()).toBe(HELLO);
    expect((await failure(bucket.get('hello.txt', 5, { signal }))).code).toBe('unsupported');
  });

  it('puts small objects', async () => {
    const bucket = await bucketAt('s3://garden/put');
    await bucket.put('x/manifest', Buffer.from('one'), signal);
    const etag = await bucket.put('x/manifest', Buffer.from('two'), signal);
    const { bytes, etag: now } = await bucket.get('x/manifest', 100, { signal });
    expect([Buffer.from(bytes).toString(), now]).toEqual(['two', etag]);
  });

  it('does not mix an object with the one that took its place', async () => {
    const bucket = await bucketAt('s3://garden/mixed');
    await bucket.put('x', Buffer.from('first one'), signal);
    const etag = (await bucket.list(signal))[0]?.etag ?? '';
    await bucket.read('x', 0, new Uint8Array(5), { signal, ifMatch: etag });
    await bucket.put('x', Buffer.from('other one'), signal);
    expect((await failure(bucket.read('x', 5, new Uint8Array(4), { signal, ifMatch: etag }))).code).toBe(
      'changed',
    );
    expect((await failure(bucket.read('x', 50, new Uint8Array(4), { signal }))).code).toBe('changed');
  });

  it('goes through listings of many pages', async () => {
    const bucket = await bucketAt('s3://garden/many');
    await Promise.all(Array.from({ length: 1_005 }, (_, at) => bucket.put(`k${at}`, Buffer.of(1), signal)));
    const keys = (await bucket.list(signal)).map(({ key }) => key);
    expect(new Set(keys).size).toBe(1_005);
    expect(proxy.requests.filter(({ url }) => url.includes('list-type=2'))).toHaveLength(2);
  });

  it('explains who may not, what is not there, and what passes', async () => {
    const rose = await bucketAt('s3://garden/roses');
    expect(await failure(rose.read('nothing', 0, new Uint8Array(3), { signal }))).toMatchObject({
      code: 'not-found',
      text: expect.stringContaining('s3://garden/roses/nothing') as string,
    });
    expect(await failure((await bucketAt('s3://no-such-garden')).list(signal))).toMatchObject({
      code: 'not-found',
      text: expect.stringContaining("no bucket 'no-such-garden'") as string,
    });
    setEnv({ AWS_SECRET_ACCESS_KEY: 'wrong' });
    expect(await failure((await bucketAt('s3://garden')).list(signal))).toMatchObject({
      code: 'unauthenticated',
      text: expect.stringContaining('AWS_SECRET_ACCESS_KEY') as string,
    });
    setEnv({ AWS_ACCESS_KEY_ID: 'AKIANOBODY0000000000' });
    expect(await failure((await bucketAt('s3://garden')).list(signal))).toMatchObject({
      code: 'unauthenticated',
      text: expect.stringContaining('AWS_ACCESS_KEY_ID') as string,
    });
    setEnv({ ...server.env(), CALYX_S3_ENDPOINT: '', AWS_REGION: 'eu-west-9' });
    expect(await failure((await bucketAt('s3://garden')).list(signal))).toMatchObject({
      code: 'refused',
      text: expect.stringContaining('AWS_REGION') as string,
    });
  });

  it('reads public buckets without credentials, and says so where that is not enough', async () => {
    setEnv({ AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_REGION: '' });
    const bucket = await bucketAt('s3://open-garden/roses');
    expect(bucket.anonymous).toBe(true);
    expect(await bucket.list(signal)).toHaveLength(3);
    await bucket.read('hello.txt', 0, new Uint8Array(HELLO.length), { signal });
    expect(proxy.requests.some(({ signed }) => signed)).toBe(false);
    expect(await failure((await bucketAt('s3://garden')).list(signal))).toMatchObject({
      code: 'refused',
      text: expect.stringContaining('no credentials were found') as string,
    });
    setEnv({ AWS_PROFILE: 'nobody' });
    expect(await failure(bucketAt('s3://garden'))).toMatchObject({
      code: 'unauthenticated',
      text: expect.stringContaining('AWS_PROFILE') as string,
    });
  });

  it('tells faults that pass from those that do not', async () => {
    const bucket = await bucketAt('s3://garden/roses', { stallMs: 200 });
    const read = (): Promise<void> =>
      bucket.read('b/ä name & more+.bin', 0, new Uint8Array(300_000), { signal });
    const faults = [
      [{ status: 503, code: 'SlowDown', headers: { 'retry-after': '7' } }, 'limited', 'patience', 7],
      [{ status: 503, code: 'ServiceUnavailable' }, 'unavailable', '503', undefined],
      [{ status: 500, code: 'InternalError' }, 'unavailable', '500', undefined],
      [{ status: 400, code: 'ExpiredToken' }, 'unauthenticated', 'have expired', undefined],
      [{ status: 403, code: 'RequestTimeTooSkewed' }, 'refused', 'clock', undefined],
      [
        { status: 301, code: 'PermanentRedirect', headers: { 'x-amz-bucket-region': 'eu-west-9' } },
        'refused',
        'AWS_REGION=eu-west-9',
        undefined,
      ],
      [{ status: 403, code: 'AccessDenied' }, 'refused', 's3:GetObject', undefined],
      [{ status: 400, code: 'Odd', text: `${'x'.repeat(200)}\u001b[31m` }, 'refused', '400 (Odd)', undefined],
      ['drop', 'unavailable', 'cannot be reached', undefined],
      ['cut', 'unavailable', '', undefined],
      ['silent', 'timeout', 'too slow', undefined],
    ] as const;
    for (const [fault, code, says, retryAfter] of faults) {
      proxy.fault = () => fault;
      expect(await failure(read())).toEqual({
        code,
        text: expect.stringContaining(says) as string,
        retryAfter,
      });
    }
    proxy.fault = () => undefined;
    await read();
  });

  it('leaves a server that drips', async () => {
    const bucket = await bucketAt('s3://garden/roses', { stallMs: 300, minBytesPerSecond: 1_000_000 });
    proxy.bytesPerSecond = 150_000;
    expect(
      (await failure(bucket.read('b/ä name & more+.bin', 0, new Uint8Array(300_000), { signal }))).code,
    ).toBe('timeout');
  });

  it('ends an error that has no end', async () => {
    proxy.fault = () => ({ status: 500, code: 'InternalError', text: 'x'.repeat(20 * 1024 * 1024) });
    const { code, text } = await failure((await bucketAt('s3://garden')).list(signal));
    expect([code, text.length < 500]).toEqual(['unsupported', true]);
  });

  it('is aborted at once', async () => {
    const bucket = await bucketAt('s3://garden/roses');
    proxy.fault = () => 'silent';
    const controller = new AbortController();
    const reason = new Error('enough');
    const reading = bucket.read('hello.txt', 0, new Uint8Array(3), { signal: controller.signal });
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
  });

  it('says that nobody is there', async () => {
    const nobody = createServer();
    await new Promise<void>((resolve) => nobody.listen(0, '127.0.0.1', resolve));
    const { port } = nobody.address() as AddressInfo;
    await new Promise((resolve) => nobody.close(resolve));
    const settings = s3Settings({ CALYX_S3_ENDPOINT: `http://127.0.0.1:${port}` });
    expect(await failure((await bucketAt('s3://garden', { settings })).list(signal))).toMatchObject({
      code: 'unavailable',
      text: expect.stringContaining('ECONNREFUSED') as string,
    });
    // TLS with a server that does not speak it.
    const wrong = s3Settings({ CALYX_S3_ENDPOINT: proxy.url.replace('http:', 'https:') });
    expect((await failure((await bucketAt('s3://garden', { settings: wrong })).list(signal))).code).toBe(
      'refused',
    );
  });

  it('asks by host names where that is the style', async () => {
    const settings = s3Settings({
      CALYX_S3_ENDPOINT: proxy.url.replace('127.0.0.1', 'localhost'),
      CALYX_S3_STYLE: 'virtual',
    });
    const bucket = await bucketAt('s3://garden/roses', { settings });
    // `garden.localhost` is this machine for some resolvers and unknown to others; the request must not go to the path.
    await bucket.list(signal).catch(() => undefined);
    expect(proxy.requests.filter(({ url }) => url.startsWith('/garden'))).toEqual([]);
  });
});
