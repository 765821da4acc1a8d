import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { BufferPool } from '../buffer-pool.js';
import { BundleSource, type BundleRun } from './bundle-source.js';

it('finds a chunk whose bundle was written again while it was asked for', async () => {
  const directory = testDirectory();
  await writeFile(join(directory, 'old'), 'xxabcdef');
  await writeFile(join(directory, 'new'), 'abcdef');
  let runs: BundleRun[] | undefined = [{ start: 0, end: 6, bundle: 'old', offset: 2 }];
  const source = new BundleSource(
    'the store',
    () => runs,
    (id) => join(directory, id),
    new BufferPool(),
  );
  onTestFinished(() => source.close());
  const read = async (): Promise<string> => {
    const lease = await source.read('blob', 1, 4);
    lease.release();
    return bytesOf(lease).toString();
  };
  expect(await read()).toBe('bcde');
  // An open bundle is read on until it is forgotten.
  await rename(join(directory, 'old'), join(directory, 'older'));
  expect(await read()).toBe('bcde');
  await source.forget('old');
  await expectError(read, 'not-found', 'the blob blob in the bundles of the store');
  const asked = read();
  runs = [{ start: 0, end: 6, bundle: 'new', offset: 0 }];
  expect(await asked).toBe('bcde');
  await rm(join(directory, 'new'));
  await source.forget('new');
  await writeFile(join(directory, 'new'), 'abc');
  await expectError(read, 'corrupt', join(directory, 'new'), 'ends at 3');
  runs = undefined;
  await expectError(read, 'not-found', 'the store does not have the blob blob');
});
