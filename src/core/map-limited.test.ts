import { describe, expect, it } from 'vitest';
import { mapLimited } from './map-limited.js';

/** Jobs that end when the test says so. */
function jobs() {
  const started: number[] = [];
  const gates = new Map<number, PromiseWithResolvers<string>>();
  return {
    started,
    run: (item: number): Promise<string> => {
      started.push(item);
      const gate = withResolvers<string>();
      gates.set(item, gate);
      return gate.promise;
    },
    end: async (item: number): Promise<void> => {
      gates.get(item)?.resolve(`r${item}`);
      await settle();
    },
    fail: async (item: number): Promise<void> => {
      gates.get(item)?.reject(new Error(`e${item}`));
      await settle();
    },
  };
}

interface PromiseWithResolvers<T> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (error: Error) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** All microtasks that are due have run when the next macrotask runs. */
const settle = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('mapLimited', () => {
  it('runs at most so many at a time and keeps the order of the results', async () => {
    const { started, run, end } = jobs();
    const results = mapLimited([0, 1, 2, 3], 2, run);
    expect(started).toEqual([0, 1]);
    await end(1);
    expect(started).toEqual([0, 1, 2]);
    await end(2);
    expect(started).toEqual([0, 1, 2, 3]);
    await end(3);
    await end(0);
    expect(await results).toEqual(['r0', 'r1', 'r2', 'r3']);
  });

  it('begins nothing after a failure, waits for what runs, and reports the first failure', async () => {
    const { started, run, end, fail } = jobs();
    let outcome: unknown;
    const results = mapLimited([0, 1, 2, 3, 4], 3, run).catch((error: unknown) => {
      outcome = error;
    });
    await fail(1);
    await fail(0);
    expect(outcome).toBeUndefined();
    expect(started).toEqual([0, 1, 2]);
    await end(2);
    await results;
    expect(outcome).toEqual(new Error('e1'));
    expect(started).toEqual([0, 1, 2]);
  });

  it('reports what is thrown at once', async () => {
    const work = (): Promise<never> => {
      throw new Error('at once');
    };
    await expect(mapLimited([1, 2], 1, work)).rejects.toThrow('at once');
  });

  it('gives an empty result for no items, and works with any limit', async () => {
    expect(await mapLimited([], 4, () => Promise.reject(new Error('never')))).toEqual([]);
    expect(await mapLimited([7], 0, (item, index) => Promise.resolve([item, index]))).toEqual([[7, 0]]);
  });
});
