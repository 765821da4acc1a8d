import { expect, it } from 'vitest';
import { testDirectory } from '../support/directories.js';
import { readAtRandom } from '../support/random-cache-reads.js';

it('random reads of a model through a cache of a tenth of it: every byte right, never above the budget', async () => {
  const stats = await readAtRandom({
    directory: testDirectory(),
    modelBytes: 300_000_000,
    seconds: 4,
    seed: 1,
  });
  // There are seven segments for chunks of up to 4 MiB, and one of them is always free.
  expect(stats.usedBytes).toBeGreaterThan(stats.budgetBytes / 6);
}, 120_000);
