import {
  appendFileSync,
  existsSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FIXTURES, VECTORS, copyOfFixture, sha256sum } from '../support/catalog.js';
import { startCalyx, type Ended } from '../support/cli.js';
import { testDirectory } from '../support/directories.js';
import { S3Proxy } from '../support/s3-proxy.js';
import { S3_KEY, S3Server, noS3Server } from '../support/s3-server.js';

const BUCKET = 'models';
const REPO = 'acme/rose';
const SHARD = 'model-00003-of-00006.safetensors';

describe.skipIf(noS3Server !== undefined)(`calyx add s3:// ${noS3Server ?? ''}`, () => {
  let server: S3Server;
  let proxy: S3Proxy;
  let prefixes = 0;
  beforeAll(async () => {
    server = await S3Server.start();
    proxy = await S3Proxy.start(server.port);
    await server.makeBucket(BUCKET);
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });
  beforeEach(() => proxy.reset());

  const dataDirectory = (): string => join(testDirectory(), 'data');
  /** Every test has its own objects. */
  const newPrefix = (): string => `some/where/${(prefixes += 1)}`;

  async function put(directory: string, checksum: boolean): Promise<string> {
    const prefix = newPrefix();
    await server.putDirectory(BUCKET, prefix, directory, { checksum });
    return prefix;
  }

  async function add(
    data: string,
    prefix: string,
    args: readonly string[] = [],
    env: Record<string, string> = {},
  ): Promise<Ended> {
    const ended = await startCalyx(
      ['add', `s3://${BUCKET}/${prefix}`, '--name', REPO, '--data', data, ...args],
      {
        ...server.env(proxy.url),
        ...env,
      },
    ).ended;
    expect(ended.stdout + ended.stderr).not.toContain(S3_KEY.secret);
    expect(ended.stdout + ended.stderr).not.toContain(S3_KEY.id);
    return ended;
  }

  async function addJson(
    data: string,
    prefix: string,
    args: readonly string[] = [],
  ): Promise<Record<string, unknown>> {
    const ended = await add(data, prefix, [...args, '--json']);
    expect(ended, ended.stderr).toMatchObject({ code: 0 });
    return JSON.parse(ended.stdout) as Record<string, unknown>;
  }

  const sizeOfAll = (directory: string): number =>
    readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
  const published = (data: string): string[] =>
    existsSync(data) ? readdirSync(data).filter((name) => name.startsWith('models--')) : [];

  it('fills one store from another, with the very blobs and the very manifest', async () => {
    const [first, second] = [dataDirectory(), dataDirectory()];
    const ended = await startCalyx(['add', FIXTURES.qwen3, '--name', REPO, '--data', first]).ended;
    expect(ended.code, ended.stderr).toBe(0);
    const snapshot = join(first, 'models--acme--rose', 'snapshots', VECTORS.qwen3.revision);
    const prefix = newPrefix();
    for (const name of readdirSync(snapshot))
      await server.putFile(BUCKET, `${prefix}/${name}`, join(snapshot, name));
    const dry = await addJson(second, prefix, ['--dry-run']);
    expect(dry).toMatchObject({ dryRun: true, movedBytes: sizeOfAll(FIXTURES.qwen3) });
    expect([proxy.bytesSent, published(second)]).toEqual([0, []]);
    const added = await addJson(second, prefix);
    expect(added).toMatchObject({
      revision: VECTORS.qwen3.revision,
      generation: 1,
      changed: true,
      blocks: 6,
    });
    expect(proxy.bytesSent).toBe(sizeOfAll(FIXTURES.qwen3));
    const blobs = [first, second].map((data) => join(data, 'models--acme--rose', 'blobs'));
    const [names = [], others] = blobs.map((directory) => readdirSync(directory).sort());
    expect(others).toEqual(names);
    for (const directory of blobs)
      expect([...sha256sum(names.map((name) => join(directory, name))).values()]).toEqual(names);
    const manifests = [first, second].map((data) =>
      readdirSync(join(data, '.calyx', 'manifests'), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => readFileSync(join(entry.parentPath, entry.name)).toString('hex')),
    );
    expect(manifests[0]).toHaveLength(1);
    expect(manifests[1]).toEqual(manifests[0]);
  });

  it('moves nothing again that the storage has told the SHA-256 of', async () => {
    const directory = copyOfFixture('llama3-rope');
    const prefix = await put(directory, true);
    const data = dataDirectory();
    expect(await addJson(data, prefix)).toMatchObject({ revision: VECTORS['llama3-rope'].revision });
    proxy.reset();
    expect(await addJson(data, prefix)).toMatchObject({ changed: false, fetchedBytes: 0 });
    expect(proxy.bytesSent).toBe(0);
    appendFileSync(join(directory, 'config.json'), '\n');
    await server.putFile(BUCKET, `${prefix}/config.json`, join(directory, 'config.json'), { checksum: true });
    expect(await addJson(data, prefix)).toMatchObject({ changed: true, generation: 2 });
    expect(proxy.bytesSent).toBe(statSync(join(directory, 'config.json')).size);
  });

  it('goes through what networks and storage do', async () => {
    const prefix = await put(FIXTURES.qwen3, true);
    const once = (fault: ReturnType<S3Proxy['fault']>, before: number): typeof fault =>
      before === 0 ? fault : undefined;
    proxy.fault = ({ method, key, url, before }) => {
      const name = key.slice(prefix.length + 1);
      if (url.includes('list-type')) return once({ status: 500, code: 'InternalError' }, before);
      if (method === 'HEAD') return name === 'config.json' ? once('drop', before) : undefined;
      if (name === 'config.json')
        return once({ status: 503, code: 'SlowDown', headers: { 'retry-after': '1' } }, before);
      if (name.startsWith('model-00001')) return once('drop', before);
      if (name.startsWith('model-00002')) return before < 2 ? 'cut' : undefined;
      if (name === SHARD) return once('wrong', before);
      if (name.startsWith('model-00004')) return once({ status: 503, code: 'ServiceUnavailable' }, before);
      return undefined;
    };
    proxy.bytesPerSecond = 3_000_000;
    const data = dataDirectory();
    const ended = await add(data, prefix);
    expect(ended.code, ended.stderr).toBe(0);
    expect(ended.stderr).toContain('asks for patience');
    expect(ended.stderr).toContain(`${SHARD} is not what`);
    expect(ended.stdout).toContain(VECTORS.qwen3.revision);
  }, 120_000);

  it('publishes nothing if a file stays wrong; without a checksum nobody can know', async () => {
    const data = dataDirectory();
    const prefix = await put(FIXTURES.qwen3, true);
    const spoil = (): void => {
      proxy.fault = ({ method, key }) => (method === 'GET' && key.endsWith(SHARD) ? 'wrong' : undefined);
    };
    spoil();
    const ended = await add(data, prefix);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`${SHARD} was fetched twice`);
    expect(published(data)).toEqual([]);
    // As docs/sources.md says: what the storage sends is published as it came, and its digests are made of that.
    const bare = await put(FIXTURES.qwen3, false);
    spoil();
    const added = await addJson(dataDirectory(), bare);
    expect(added['revision']).not.toBe(VECTORS.qwen3.revision);
  });

  it('stops when credentials expire, and goes on with new ones', async () => {
    const prefix = await put(FIXTURES.qwen3, false);
    const data = dataDirectory();
    const total = sizeOfAll(FIXTURES.qwen3);
    proxy.fault = ({ method }) =>
      method === 'GET' && proxy.bytesSent > total / 2
        ? { status: 400, code: 'ExpiredToken', text: 'The provided token has expired.' }
        : undefined;
    const ended = await add(data, prefix, [], { AWS_SESSION_TOKEN: '' });
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('have expired');
    expect(ended.stderr).toContain('it goes on where it stopped');
    expect(published(data)).toEqual([]);
    const before = proxy.bytesSent;
    expect(before).toBeGreaterThan(total / 2);
    proxy.fault = () => undefined;
    expect(await addJson(data, prefix)).toMatchObject({ revision: VECTORS.qwen3.revision });
    expect(proxy.bytesSent).toBe(total);
  });

  it('does not mix what is replaced meanwhile', async () => {
    const directory = copyOfFixture('mistral-f32');
    const prefix = await put(directory, false);
    const shard = join(directory, 'model.safetensors');
    const bytes = readFileSync(shard);
    const data = dataDirectory();
    let replaced: Promise<void> | undefined;
    proxy.fault = ({ method, key }) => {
      if (method !== 'GET' || !key.endsWith('.safetensors')) return undefined;
      if (replaced === undefined) {
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        writeFileSync(shard, bytes);
        replaced = server.putFile(BUCKET, `${prefix}/model.safetensors`, shard);
        return 'drop';
      }
      return undefined;
    };
    const ended = await add(data, prefix);
    await replaced;
    expect(ended.code, ended.stderr).toBe(1);
    expect(ended.stderr).toContain('has changed');
    expect(published(data)).toEqual([]);
    proxy.fault = () => undefined;
    const { revision } = await addJson(data, prefix);
    const file = join(data, 'models--acme--rose', 'snapshots', String(revision), 'model.safetensors');
    expect(readFileSync(file).equals(bytes)).toBe(true);
  });

  it('explains what is not there, who may not, and what is missing', async () => {
    const data = dataDirectory();
    const fail = async (args: string[], env: Record<string, string>, ...says: string[]): Promise<void> => {
      const ended = await startCalyx(['add', ...args, '--data', data], { ...server.env(proxy.url), ...env })
        .ended;
      for (const piece of says) expect(ended.stderr).toContain(piece);
      expect(ended.code).not.toBe(0);
      expect(ended.stderr).not.toContain('secret+of');
    };
    await fail([`s3://${BUCKET}/nothing`, '--name', REPO], {}, 'there is nothing under s3://models/nothing/');
    await fail(['s3://no-bucket/x', '--name', REPO], {}, "no bucket 'no-bucket'", 'AWS_REGION');
    await fail([`s3://${BUCKET}/x`], {}, '--name ORG/NAME');
    await fail(['s3://..', '--name', REPO], {}, 'does not name a bucket');
    await fail(
      [`s3://${BUCKET}/x`, '--name', REPO],
      { CALYX_S3_ENDPOINT: 'http://a:pw@h' },
      'CALYX_S3_ENDPOINT',
    );
    await fail([`s3://${BUCKET}/x`, '--name', REPO], { AWS_SECRET_ACCESS_KEY: 'x' }, 'AWS_SECRET_ACCESS_KEY');
    const nobody = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '' };
    await fail([`s3://${BUCKET}/x`, '--name', REPO], nobody, 'no credentials were found');
    expect(existsSync(join(data, '.calyx', 'staging'))).toBe(false);
    rmSync(data, { recursive: true, force: true });
  }, 120_000);
});
