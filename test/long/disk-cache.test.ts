import { expect, it } from 'vitest';
import { testDirectory } from '../support/directories.js';
import { readAtRandom } from '../support/random-cache-reads.js';

const SECONDS = Number(process.env['CALYX_LONG_SECONDS'] ?? 300);

it(`random reads for ${SECONDS} s of a model through a cache of a tenth of it: every byte right, never above the budget`, async () => {
  const directory = testDirectory();
  const stats = await readAtRandom({ directory, modelBytes: 1_500_000_000, seconds: SECONDS, seed: 2 });
  expect(stats.usedBytes).toBeGreaterThan(stats.budgetBytes / 2);
});
