import { createHash } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { calyxJson } from '../support/cli.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  calyxIn,
  mount,
  mountPoint,
  NFS_VERSIONS,
  startGuestStore,
  suiteMemoryDirectory,
  type GuestStore,
} from '../support/guest/mounted-store.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { WatchedReaders } from '../support/guest/watched-readers.js';
import { MODELS, writeRandomModel } from '../support/models.js';

const MIB = 1024 * 1024;
/** Fifteen blocks of two matrices, the embeddings and the head: 1 GiB in one file. */
const MATRIX_BYTES = 32 * MIB;
const SHARD = 'model-00001-of-00001.safetensors';

const root = suiteMemoryDirectory(2048 * MIB);
const source = join(root, 'source');
const first = join(root, 'first');
const second = join(root, 'second');

describe.skipIf(guestUnavailable() !== undefined)('readers of a store that fails', () => {
  let network: GuestNetwork;
  let guest: Guest;
  let store: GuestStore;
  let part: string;

  beforeAll(async () => {
    await writeRandomModel(source, { blocks: 15, matrixBytes: MATRIX_BYTES, shards: 1, seed: 3 });
    const big = (data: string) => calyxJson('add', source, '--name', 'acme/big', '--data', data, '--link');
    const small = async (data: string) => {
      for (const { path, name } of MODELS.slice(1, 3))
        await calyxJson('add', path, '--name', `acme/${name}`, '--data', data);
    };
    // Two that were never one.
    await Promise.all([big(first).then(() => small(first)), small(second).then(() => big(second))]);
    network = await createNetwork({ guests: 1 });
    [guest, store] = await Promise.all([startGuest(network), startGuestStore(network, first)]);
    const slice = join(root, 'slice');
    const fetching = ['fetch', 'acme/big', '--blocks', '1:2', '--into', slice, '--store', store.url];
    expect(await calyxIn(network, fetching).ended).toMatchObject({ code: 0 });
    part = join(slice, 'block-00001.safetensors');
  });
  afterAll(() => network.close());
  // Each with nothing cached.
  beforeEach(() => Promise.all(NFS_VERSIONS.map((version) => mount(guest, version, { options: 'ro,hard' }))));
  afterEach(() => guest.sh(NFS_VERSIONS.map((version) => `umount ${mountPoint(version)}`).join('\n')));

  const replaceBy = async (data: string): Promise<void> => {
    await store.kill();
    store = await startGuestStore(network, data);
  };

  it('read 1 GiB while it is killed and comes back, hangs, and is replaced by another replica', async () => {
    const files = NFS_VERSIONS.map((version) => ({
      path: `${mountPoint(version)}/models/acme/big/${SHARD}`,
      way: 'read' as const,
    }));
    const readers = new WatchedReaders(guest, files);
    await readers.advance(64);
    await replaceBy(first);
    await readers.advance(64);
    store.freeze();
    await readers.stall();
    store.thaw();
    await readers.advance(64);
    await replaceBy(second);
    await readers.advance(64);
    expect(await readers.results()).toEqual(await each(files, join(source, SHARD)));
  }, 120_000);

  it('read a part of a slice past the page cache and as a mapped file through the same', async () => {
    const path = 'slices/acme/big/1-2/block-00001.safetensors';
    const files = NFS_VERSIONS.flatMap((version) =>
      (['direct', 'mmap'] as const).map((way) => ({ path: `${mountPoint(version)}/${path}`, way })),
    );
    const readers = new WatchedReaders(guest, files);
    await readers.advance(4);
    await replaceBy(first);
    await readers.advance(4);
    await replaceBy(second);
    await readers.advance(4);
    expect(await readers.results()).toEqual(await each(files, part));
  }, 120_000);
});

/** For each of the files, what is in the one at `path`. */
async function each(files: readonly unknown[], path: string): Promise<unknown[]> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: MIB }), hash);
  const expected = { bytes: statSync(path).size, sha256: hash.digest('hex') };
  return files.map(() => expected);
}
