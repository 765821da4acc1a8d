import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { expectError } from '../../../test/support/expect-error.js';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { failure, fast, fastError, ScriptedSource, slow, slowError, type Answer } from '../../../test/support/scripted-source.js'; // prettier-ignore
import type { ErrorCode } from '../../core/errors.js';
import { FailoverLayer } from './failover.js';

const BLOB = 'b'.repeat(64);

/** Two mock sources, `one` before `two`, behind the layer. */
const over = (one: Answer[], two: Answer[], coolDownMs = 10_000) => {
  const log: string[] = [];
  const failures: string[] = [];
  const clock = new ManualClock();
  const sources = [new ScriptedSource('one', one, log), new ScriptedSource('two', two, log)] as const;
  const layer = new FailoverLayer(sources, {
    clock,
    coolDownMs,
    onFailure: (source, error) => failures.push(`${source.name}: ${(error as Error).message}`),
  });
  const read = async (): Promise<string> => {
    const lease = await layer.read(BLOB, 7, 3);
    lease.release();
    return bytesOf(lease).toString();
  };
  return { layer, sources, log, failures, clock, read };
};

describe('FailoverLayer', () => {
  it.each([
    ['Fast', fast],
    ['Slow', slow],
  ])('%s: the first source answers and the second is not asked', async (_, answer) => {
    const { read, log, failures, sources } = over([answer('one')], []);
    expect(await read()).toBe('one');
    expect(log).toEqual(['one']);
    expect(failures).toEqual([]);
    expect(sources[0].onLoan).toBe(0);
  });

  it.each<[string, (error: unknown) => Answer, ErrorCode]>([
    ['FastError', fastError, 'unavailable'],
    ['SlowError', slowError, 'unavailable'],
    ['SlowError', slowError, 'timeout'],
    ['SlowError', slowError, 'corrupt'],
    ['SlowError', slowError, 'refused'],
    ['FastError', fastError, 'not-found'],
  ])('%s: the second source answers in place of the first (%s, %s)', async (_, answer, code) => {
    const { read, log, failures, sources } = over([answer(failure(code, 'no'))], [slow('two')]);
    expect(await read()).toBe('two');
    expect(log).toEqual(['one', 'two']);
    expect(failures).toEqual(['one: no']);
    expect(sources[1].reads).toEqual(['7+3']);
  });

  it('lists every source when all fail; whichever failed counts more than one that does not have it', async () => {
    const { read, log } = over(
      [slowError(failure('not-found', 'one does not have it'))],
      [fastError(failure('timeout', 'two sent nothing'))],
    );
    const error = await expectError(read, 'timeout', 'one does not have it', 'two sent nothing');
    expect(error.cause).toMatchObject({ message: 'two sent nothing' });
    expect(log).toEqual(['one', 'two']);
  });

  it('says not-found only if none has it', async () => {
    const missing = failure('not-found', 'missing');
    const { read } = over([fastError(missing)], [slowError(missing)]);
    await expectError(read, 'not-found', 'missing; missing');
  });

  it('passes on the very error of an only source', async () => {
    const error = failure('corrupt', 'wrong');
    const layer = new FailoverLayer([new ScriptedSource('only', [slowError(error)])]);
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(error);
  });

  it('calls an unknown error unavailable and keeps its words', async () => {
    const { read } = over([fastError(new Error('a bug'))], [slowError(failure('not-found', 'n'))]);
    await expectError(read, 'unavailable', 'a bug', 'n');
  });

  it('asks a source that failed last, until it has cooled down', async () => {
    const down = failure('unavailable', 'down');
    const { read, log, clock } = over(
      [slowError(down), slow('one')],
      [slow('two'), slow('two'), slow('two')],
      10_000,
    );
    expect(await read()).toBe('two');
    clock.advance(9_999);
    expect(await read()).toBe('two');
    expect(log).toEqual(['one', 'two', 'two']);
    clock.advance(1);
    expect(await read()).toBe('one');
    expect(log).toEqual(['one', 'two', 'two', 'one']);
  });

  it('trusts a source again as soon as it has answered', async () => {
    const down = failure('unavailable', 'down');
    const { read, log } = over(
      [slowError(down), slow('one'), slow('one')],
      [slowError(down), slowError(down)],
    );
    await expectError(read, 'unavailable');
    // Both cool down: they are asked in their order.
    expect(await read()).toBe('one');
    expect(await read()).toBe('one');
    expect(log).toEqual(['one', 'two', 'one', 'one']);
  });

  it('does not hold it against a source that it lacks a blob', async () => {
    const { read, log } = over([slowError(failure('not-found', 'no')), slow('one')], [slow('two')]);
    expect(await read()).toBe('two');
    expect(await read()).toBe('one');
    expect(log).toEqual(['one', 'two', 'one']);
  });

  it('asks nobody else once the reader has given up, and holds it against no source', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const aborted: Answer = () => {
      controller.abort(reason);
      return Promise.reject(reason);
    };
    const { layer, log, read, failures } = over([aborted, slow('one')], []);
    await expect(layer.read(BLOB, 0, 1, { signal: controller.signal })).rejects.toBe(reason);
    expect(failures).toEqual([]);
    expect(await read()).toBe('one');
    expect(log).toEqual(['one', 'one']);
  });

  it('bears the names of all and closes all', async () => {
    const { layer, sources } = over([], []);
    expect(layer.name).toBe('one, two');
    await layer.close();
    expect(sources.map(({ closed }) => closed)).toEqual([1, 1]);
  });
});
