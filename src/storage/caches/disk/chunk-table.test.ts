import { describe, expect, it } from 'vitest';
import { blobName } from '../../../../test/support/blobs.js';
import { seeded } from '../../../../test/support/seeded.js';
import { ChunkTable, NONE, type Chain } from './chunk-table.js';

const digestOf = (number: number): string => blobName(Buffer.from(`chunk ${number}`));
const chain = (): Chain => ({ first: NONE, last: NONE });

describe('ChunkTable', () => {
  it('holds the same as a map through additions, removals and reuse', () => {
    const random = seeded(7);
    const table = new ChunkTable();
    const expected = new Map<string, string>();
    const chains = Array.from({ length: 10 }, chain);
    for (let round = 0; round < 40; round += 1) {
      for (let step = 0; step < 200; step += 1) {
        const digest = digestOf(Math.floor(random() * 5000));
        const [segment, offset, length] = [Math.floor(random() * 10), step * 10, 1 + step];
        if (random() < 0.8) {
          table.add(chains[segment] ?? chain(), Buffer.from(digest, 'hex'), segment, offset, length, 0);
          expected.set(digest, `${segment}:${offset}+${length}`);
        } else if (table.find(digest) !== NONE) {
          table.remove(table.find(digest));
          expected.delete(digest);
        }
      }
      // A whole segment goes.
      const index = round % 10;
      const victim = chains[index] ?? chain();
      for (let slot = victim.first; slot !== NONE; slot = table.next(slot)) table.remove(slot);
      table.release(victim);
      for (const [digest, place] of expected) if (place.startsWith(`${index}:`)) expected.delete(digest);
      expect(table.size).toBe(expected.size);
    }
    let bytes = 0;
    for (let number = 0; number < 5000; number += 1) {
      const slot = table.find(digestOf(number));
      const found =
        slot === NONE ? undefined : `${table.segment(slot)}:${table.offset(slot)}+${table.length(slot)}`;
      expect(found).toBe(expected.get(digestOf(number)));
      if (slot !== NONE) bytes += table.length(slot);
    }
    expect(table.bytes).toBe(bytes);
    expect(expected.size).toBeGreaterThan(500);
  });

  it('takes less than 100 bytes for each of very many chunks', () => {
    const table = new ChunkTable();
    const segment = chain();
    const digest = Buffer.alloc(32);
    let most = 0;
    for (let number = 0; number < 400_000; number += 1) {
      digest.writeUInt32LE(Math.imul(number, 0x9e3779b1) >>> 0, 0);
      digest.writeUInt32LE(number, 28);
      table.add(segment, digest, 0, number, 1, 0);
      if (number > 5000) most = Math.max(most, table.memoryBytes / table.size);
    }
    expect(most).toBeLessThan(100);
  });

  it('counts uses that are apart, up to three', () => {
    const table = new ChunkTable();
    const slot = table.add(chain(), Buffer.alloc(32, 1), 0, 0, 10, 250);
    const uses = [250, 251, 252, 252, 253, 254, 255, 0, 1, 2, 9].map((time) => {
      table.touch(slot, time);
      return table.uses(slot);
    });
    expect(uses).toEqual([0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 3]);
  });
});
