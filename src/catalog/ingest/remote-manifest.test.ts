import { cpSync, readdirSync, truncateSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DirectoryBucket } from '../../../test/support/directory-bucket.js';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { MODELS, TINY, writeRandomModel } from '../../../test/support/models.js';
import { CalyxError } from '../../core/errors.js';
import type { RemoteModel } from '../../storage/remote/remote-model.js';
import { publishStaged } from '../publish.js';
import { StoreLayout } from '../store-layout.js';
import { HashPool } from './hash-pool.js';
import { Patience } from './patience.js';
import { remoteManifest } from './remote-manifest.js';
import { stageModel } from './stage-model.js';

const never = new AbortController().signal;
const model = { org: 'acme', name: 'model' };

async function remoteOf(directory: string): Promise<{ bucket: DirectoryBucket; remote: RemoteModel }> {
  const bucket = new DirectoryBucket(directory);
  const files = (await bucket.list()).map(({ key, size, version }) => ({ path: key, size, version }));
  const remote: RemoteModel = {
    name: 's3://bucket/acme/model',
    files,
    read: ({ path, size, version = '' }, offset, target, signal) =>
      bucket.read({ key: path, size, version }, offset, target, signal),
    close: () => Promise.resolve(),
  };
  return { bucket, remote };
}

/** The manifest of the same files as `calyx add` makes it. */
async function published(directory: string): Promise<Buffer> {
  const layout = new StoreLayout(testDirectory());
  const pool = new HashPool({ threads: 1 });
  try {
    await stageModel(layout, { directory, model, mode: 'copy', pool, signal: never });
    const { ref } = await publishStaged(layout, model);
    return await readFile(layout.manifest(ref.manifest));
  } finally {
    await pool.close();
  }
}

describe('remoteManifest', () => {
  it.each(MODELS)('is byte for byte what adding the files of $name gives', async ({ path }) => {
    const { remote } = await remoteOf(path);
    const scratch = testDirectory();
    let hashed = 0;
    const { bytes, manifest } = await remoteManifest(remote, {
      scratch,
      signal: never,
      onBytes: (count) => (hashed += count),
    });
    expect(Buffer.from(bytes).equals(await published(path))).toBe(true);
    expect(hashed).toBe(manifest.totalBytes);
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('cuts files that are longer than what is read at once', async () => {
    const directory = testDirectory();
    await writeRandomModel(directory, { blocks: 3, matrixBytes: 6 * 1024 * 1024, shards: 1, seed: 7 });
    const { remote } = await remoteOf(directory);
    const { bytes } = await remoteManifest(remote, { scratch: testDirectory(), signal: never });
    expect(Buffer.from(bytes).equals(await published(directory))).toBe(true);
  });

  it('tries again what may pass, and gives up on an object that was replaced', async () => {
    const directory = testDirectory();
    cpSync(TINY, directory, { recursive: true });
    const { bucket, remote } = await remoteOf(directory);
    let failures = 3;
    bucket.onRead = () => {
      if (failures-- > 0) throw new CalyxError('limited', 'slow down');
    };
    const patience = new Patience({ firstPauseMs: 1 });
    await remoteManifest(remote, { scratch: testDirectory(), signal: never, patience });
    bucket.onRead = () => writeFileSync(join(directory, 'config.json'), '{}');
    const scratch = testDirectory();
    await expectError(() => remoteManifest(remote, { scratch, signal: never, patience }), 'changed');
    expect(readdirSync(scratch)).toEqual([]);
  });

  it('refuses a model that is not whole, and names it where it lies', async () => {
    const directory = testDirectory();
    cpSync(TINY, directory, { recursive: true });
    const [shard = ''] = readdirSync(directory).filter((name) => name.endsWith('.safetensors'));
    truncateSync(join(directory, shard), 1000);
    const { remote } = await remoteOf(directory);
    const making = (): Promise<unknown> =>
      remoteManifest(remote, { scratch: testDirectory(), signal: never });
    const error = await expectError(making, 'invalid-model', shard);
    expect(error.message).not.toContain('outline');
  });
});
