import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { failure, fast, fastError, ScriptedSource, slow, slowError, type Answer } from '../../../test/support/scripted-source.js'; // prettier-ignore
import type { Clock } from '../../core/clock.js';
import { abortReason } from '../../core/clock.js';
import type { ErrorCode } from '../../core/errors.js';
import { RetryLayer, type RetryOptions } from './retry.js';

const BLOB = 'b'.repeat(64);
const down = failure('unavailable', 'down');

const over = (answers: Answer[], options: RetryOptions = {}) => {
  const source = new ScriptedSource('inner', answers);
  const clock = new ManualClock();
  const retries: unknown[] = [];
  const layer = new RetryLayer(source, { clock, onRetry: (error) => retries.push(error), ...options });
  return { source, clock, layer, retries };
};

describe('RetryLayer', () => {
  it.each([
    ['Fast', fast],
    ['Slow', slow],
  ])('%s: an answer is passed on, without a pause', async (_, answer) => {
    const { layer, clock, source } = over([answer('x')]);
    const lease = await layer.read(BLOB, 1, 1);
    expect(bytesOf(lease).toString()).toBe('x');
    lease.release();
    expect([source.reads, clock.pauses, source.onLoan]).toEqual([['1+1'], [], 0]);
  });

  it.each<[string, (error: unknown) => Answer, ErrorCode]>([
    ['FastError', fastError, 'unavailable'],
    ['SlowError', slowError, 'unavailable'],
    ['SlowError', slowError, 'timeout'],
    ['SlowError', slowError, 'limited'],
  ])('%s: what may pass is tried again after a pause (%s, %s)', async (_, answer, code) => {
    const error = failure(code, 'no');
    const { layer, clock, source, retries } = over([answer(error), answer(error), fast('x')]);
    expect(bytesOf(await layer.read(BLOB, 0, 1)).toString()).toBe('x');
    expect(clock.pauses).toEqual([200, 400]);
    expect(retries).toEqual([error, error]);
    expect(source.reads).toEqual(['0+1', '0+1', '0+1']);
  });

  it.each<ErrorCode>(['not-found', 'refused', 'unreadable', 'usage', 'internal', 'invalid-model'])(
    'what does not pass is not tried again: %s',
    async (code) => {
      const error = failure(code, 'no');
      const { layer, clock, source } = over([slowError(error)]);
      await expect(layer.read(BLOB, 0, 1)).rejects.toBe(error);
      expect([source.reads.length, clock.pauses]).toEqual([1, []]);
    },
  );

  it('does not try a bug again', async () => {
    const { layer } = over([fastError(new TypeError('a bug'))]);
    await expect(layer.read(BLOB, 0, 1)).rejects.toThrow('a bug');
  });

  it('waits twice as long each time, up to the longest pause, until the deadline; then the last error is the answer', async () => {
    const errors = Array.from({ length: 6 }, (_, index) => failure('unavailable', `failure ${index}`));
    const { layer, clock, source } = over(
      errors.map((error) => slowError(error)),
      { deadlineMs: 1_000, firstPauseMs: 100, longestPauseMs: 300 },
    );
    // 100 + 200 + 300 + 300 = 900; another 300 would pass the deadline.
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(errors[4]);
    expect(clock.pauses).toEqual([100, 200, 300, 300]);
    expect(source.reads).toHaveLength(5);
  });

  it('counts the deadline from the first failure, not from the beginning of a long read', async () => {
    const { layer, clock } = over(
      [
        () => {
          clock.advance(60_000);
          throw down;
        },
        fast('x'),
      ],
      { deadlineMs: 1_000 },
    );
    expect(bytesOf(await layer.read(BLOB, 0, 1)).toString()).toBe('x');
  });

  it('tries wrong bytes once more, and no oftener', async () => {
    const wrong = [1, 2].map((n) => failure('corrupt', `wrong ${n}`));
    const { layer, source, retries } = over(wrong.map((error) => slowError(error)));
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(wrong[1]);
    expect([source.reads.length, retries]).toEqual([2, [wrong[0]]]);
  });

  it('leaves wrong bytes alone if told so', async () => {
    const wrong = failure('corrupt', 'wrong');
    const { layer } = over([slowError(wrong)], { corruptRetries: 0 });
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(wrong);
  });

  it('starts from anew with each read', async () => {
    const { layer, clock } = over([slowError(down), slow('a'), slowError(down), slow('b')]);
    await layer.read(BLOB, 0, 1);
    await layer.read(BLOB, 0, 1);
    expect(clock.pauses).toEqual([200, 200]);
  });

  it('stops when the reader gives up during a pause', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const clock: Clock = {
      now: () => 0,
      sleep: (_, signal) => {
        controller.abort(reason);
        return signal?.aborted === true ? Promise.reject(abortReason(signal)) : Promise.resolve();
      },
    };
    const { layer, source } = over([slowError(down)], { clock });
    await expect(layer.read(BLOB, 0, 1, { signal: controller.signal })).rejects.toBe(reason);
    expect(source.reads).toHaveLength(1);
    expect(source.signals).toEqual([controller.signal]);
  });

  it('stops when the reader gave up during the read, whatever that failed with', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const answer: Answer = () => {
      controller.abort(reason);
      throw down;
    };
    const { layer, clock } = over([answer]);
    await expect(layer.read(BLOB, 0, 1, { signal: controller.signal })).rejects.toBe(reason);
    expect(clock.pauses).toEqual([]);
  });

  it('closes what lies below', async () => {
    const { layer, source } = over([]);
    expect(layer.name).toBe('inner');
    await layer.close();
    expect(source.closed).toBe(1);
  });
});
