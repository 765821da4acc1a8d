import { describe, expect, it } from 'vitest';
import { FairShare } from './fair-share.js';

describe('FairShare', () => {
  it('gives a lone answer large pieces', () => {
    const share = new FairShare();
    void share.during(() => new Promise(() => undefined));
    expect([share.pieceBytes, share.piecesInFlight]).toEqual([1024 * 1024, 3]);
  });

  it('keeps 1024 answers that never end below the 128 MiB of the pool', () => {
    const share = new FairShare();
    let held = 0;
    for (let client = 0; client < 1024; client += 1) {
      void share.during(() => new Promise(() => undefined));
      expect(Math.log2(share.pieceBytes) % 1).toBe(0);
      expect(share.pieceBytes).toBeGreaterThanOrEqual(64 * 1024);
      held += share.pieceBytes * share.piecesInFlight;
    }
    expect(held).toBeLessThan(128 * 1024 * 1024);
  });

  it('counts an answer only while it is sent, also if that fails', async () => {
    const share = new FairShare();
    const failing = Array.from({ length: 500 }, () => share.during(() => Promise.reject(new Error('cut'))));
    expect(share.pieceBytes).toBe(64 * 1024);
    await Promise.allSettled(failing);
    expect(share.pieceBytes).toBe(1024 * 1024);
  });
});
