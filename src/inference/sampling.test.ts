import { describe, expect, it } from 'vitest';
import { seededRandom } from './random.js';
import { createSampler, greedy, nucleus, softmax } from './sampling.js';

describe('seededRandom', () => {
  it('is SplitMix64', () => {
    // The first outputs for the seed 1234567, as published with the reference implementation.
    const outputs = [6457827717110365317n, 3203168211198807973n, 9817491932198370423n, 4593380528125082431n];
    const random = seededRandom(1234567);
    for (const output of outputs) expect(random()).toBe(Number(output >> 11n) / 2 ** 53);
  });
});

describe('sampling', () => {
  it('greedy takes the highest, the lowest id of several', () => {
    expect(greedy(Float32Array.of(1, 3, 2, 3))).toBe(1);
    expect(createSampler()(Float32Array.of(-5, -Infinity, -4))).toBe(2);
  });

  it('softmax gives the known values and does not overflow', () => {
    expect([...softmax(Float32Array.of(0, Math.log(2), Math.log(5)), 1)]).toEqual([
      expect.closeTo(1 / 8, 7),
      expect.closeTo(2 / 8, 7),
      expect.closeTo(5 / 8, 7),
    ]);
    expect([...softmax(Float32Array.of(1e38, -1e38, 1e38), 0.01)]).toEqual([0.5, 0, 0.5]);
    expect([...softmax(Float32Array.of(0, Math.log(4)), 2)][1]).toBeCloseTo(2 / 3, 7);
  });

  it('the nucleus is the smallest set that reaches top-p', () => {
    const probabilities = Float64Array.of(0.125, 0.5, 0.125, 0.25);
    const ids = (topP: number): number[] => nucleus(probabilities, topP).map(({ id }) => id);
    expect(ids(0.01)).toEqual([1]);
    expect(ids(0.5)).toEqual([1]);
    expect(ids(0.51)).toEqual([1, 3]);
    expect(ids(0.8)).toEqual([1, 3, 0]);
    expect(ids(1)).toEqual([0, 1, 2, 3]);
  });

  it('draws with the probabilities, and the same for the same seed', () => {
    const logits = Float32Array.of(Math.log(1), Math.log(2), -Infinity, Math.log(5));
    const draw = (seed: number, topP = 1): number[] => {
      const sampler = createSampler({ temperature: 1, topP, seed });
      return Array.from({ length: 8000 }, () => sampler(logits));
    };
    const drawn = draw(42);
    const share = (id: number): number => drawn.filter((one) => one === id).length / drawn.length;
    expect(share(0)).toBeCloseTo(1 / 8, 1.7);
    expect(share(1)).toBeCloseTo(2 / 8, 1.7);
    expect(share(2)).toBe(0);
    expect(share(3)).toBeCloseTo(5 / 8, 1.7);
    expect(draw(42)).toEqual(drawn);
    expect(draw(43)).not.toEqual(drawn);
    expect(new Set(draw(1, 0.6))).toEqual(new Set([3]));
    expect(new Set(draw(1, 0.7))).toEqual(new Set([1, 3]));
  });

  it.each([{ temperature: -1 }, { temperature: NaN }, { topP: 0 }, { topP: 1.1 }, { seed: 0.5 }])(
    'refuses %j',
    (options) => {
      expect(() => createSampler(options)).toThrow(expect.objectContaining({ code: 'usage' }));
    },
  );

  it.each([
    [Float32Array.of(1, NaN)],
    [Float32Array.of(Infinity, 1)],
    [Float32Array.of(-Infinity)],
    [new Float32Array(0)],
  ])('refuses logits that are not numbers (%#)', (logits) => {
    for (const temperature of [0, 1])
      expect(() => createSampler({ temperature })(logits)).toThrow(
        expect.objectContaining({ code: 'invalid-model' }),
      );
  });
});
