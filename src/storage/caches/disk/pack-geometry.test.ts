import { describe, expect, it } from 'vitest';
import { expectError } from '../../../../test/support/expect-error.js';
import { packBytes, packGeometry } from './pack-geometry.js';

const MIB = 1024 * 1024;

describe('packGeometry', () => {
  it.each([
    [18 * MIB, 4_259_840, 4],
    [24 * MIB, 4_259_840, 5],
    [1024 * MIB, 3 * 4_259_840, 83],
    [100 * 1024 * MIB, 240 * 4_259_840, 104],
  ])('cuts %i bytes', (budget, segmentBytes, segments) => {
    expect(packGeometry(budget)).toEqual({ segmentBytes, segments });
  });

  it('leaves room for what a file system keeps of a file that lies in blocks of 4 KiB', () => {
    for (let budget = 18 * MIB; budget < 2 ** 45; budget = Math.floor(budget * 1.37)) {
      const bytes = packBytes(packGeometry(budget));
      expect(bytes + bytes / 256 + 64 * 1024).toBeLessThanOrEqual(budget);
      // Little is left over.
      expect(bytes).toBeGreaterThan(budget * (budget > 200 * MIB ? 0.96 : 0.75));
    }
  });

  it('refuses what is too small', async () => {
    for (const budget of [0, -1, 4 * MIB, 16 * MIB])
      await expectError(() => packGeometry(budget), 'usage', 'too small');
    await expectError(() => packGeometry(Number.NaN), 'usage', 'too small');
  });
});
