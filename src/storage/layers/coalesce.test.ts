import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { failure, fast, fastError, gate, nextTurn, ScriptedSource, slow, slowError, type Answer } from '../../../test/support/scripted-source.js'; // prettier-ignore
import { CoalesceLayer } from './coalesce.js';

const BLOB = 'b'.repeat(64);

const over = (...answers: Answer[]) => {
  const source = new ScriptedSource('inner', answers);
  return { source, layer: new CoalesceLayer(source) };
};

describe('CoalesceLayer', () => {
  it.each([
    ['Fast', fast],
    ['Slow', slow],
  ])(
    '%s: two readers of one range share one read, and the last one gives its bytes back',
    async (_, answer) => {
      const { source, layer } = over(answer('ab', 'cd'));
      const [one, two] = await Promise.all([layer.read(BLOB, 5, 4), layer.read(BLOB, 5, 4)]);
      expect(source.reads).toEqual(['5+4']);
      expect([bytesOf(one).toString(), bytesOf(two).toString()]).toEqual(['abcd', 'abcd']);
      one.release();
      one.release();
      await nextTurn();
      expect(source.onLoan).toBe(1);
      two.release();
      await nextTurn();
      expect(source.onLoan).toBe(0);
    },
  );

  it.each([
    ['FastError', fastError],
    ['SlowError', slowError],
  ])('%s: all readers get the error, and the next one reads anew', async (_, answer) => {
    const error = failure('unavailable', 'down');
    const { source, layer } = over(answer(error), fast('x'));
    const reads = await Promise.allSettled([layer.read(BLOB, 0, 1), layer.read(BLOB, 0, 1)]);
    expect(reads.map((read) => (read.status === 'rejected' ? (read.reason as unknown) : read))).toEqual([
      error,
      error,
    ]);
    expect(bytesOf(await layer.read(BLOB, 0, 1)).toString()).toBe('x');
    expect(source.reads).toHaveLength(2);
  });

  it('keeps other ranges and other blobs apart', async () => {
    const { source, layer } = over(slow('a'), slow('bb'), slow('c'), slow('d'));
    const leases = await Promise.all([
      layer.read(BLOB, 0, 1),
      layer.read(BLOB, 0, 2),
      layer.read(BLOB, 1, 1),
      layer.read('c'.repeat(64), 0, 1),
    ]);
    expect(leases.map((lease) => bytesOf(lease).toString())).toEqual(['a', 'bb', 'c', 'd']);
    expect(source.reads).toEqual(['0+1', '0+2', '1+1', '0+1']);
  });

  it('reads again once the answer has come, even while it is still held', async () => {
    const { source, layer } = over(slow('old'), slow('new'));
    const old = await layer.read(BLOB, 0, 3);
    const next = await layer.read(BLOB, 0, 3);
    expect([bytesOf(old).toString(), bytesOf(next).toString()]).toEqual(['old', 'new']);
    expect(source.onLoan).toBe(2);
    old.release();
    next.release();
    await nextTurn();
    expect(source.onLoan).toBe(0);
  });

  it('lets one reader give up without hurting the other', async () => {
    const door = gate();
    const { source, layer } = over(door.answer);
    const impatient = new AbortController();
    const reason = new Error('enough');
    const [one, two] = [layer.read(BLOB, 0, 1, { signal: impatient.signal }), layer.read(BLOB, 0, 1)];
    impatient.abort(reason);
    await expect(one).rejects.toBe(reason);
    expect(source.signals[0]?.aborted).toBe(false);
    door.open('x');
    const lease = await two;
    expect(bytesOf(lease).toString()).toBe('x');
    expect(source.onLoan).toBe(1);
    lease.release();
    await nextTurn();
    expect(source.onLoan).toBe(0);
    expect(source.reads).toHaveLength(1);
  });

  it('aborts the read when all have given up, takes back bytes that come all the same, and starts anew for the next', async () => {
    const door = gate();
    const { source, layer } = over(door.answer, fast('new'));
    const controllers = [new AbortController(), new AbortController()];
    const reads = controllers.map(({ signal }) => layer.read(BLOB, 0, 3, { signal }));
    controllers[0]?.abort();
    await expect(reads[0]).rejects.toThrow();
    expect(source.signals[0]?.aborted).toBe(false);
    controllers[1]?.abort();
    await expect(reads[1]).rejects.toThrow();
    expect(source.signals[0]?.aborted).toBe(true);
    const next = await layer.read(BLOB, 0, 3);
    door.open('old');
    await nextTurn();
    expect(source.onLoan).toBe(1);
    expect(bytesOf(next).toString()).toBe('new');
    next.release();
    await nextTurn();
    expect(source.onLoan).toBe(0);
  });

  it('asks nothing for a reader that has given up before', async () => {
    const { source, layer } = over();
    await expect(layer.read(BLOB, 0, 1, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
      'before',
    );
    expect(source.reads).toEqual([]);
  });

  it('never hands a reader’s own signal down, as the read may serve others', async () => {
    const { source, layer } = over(fast('x'));
    const { signal } = new AbortController();
    (await layer.read(BLOB, 0, 1, { signal })).release();
    expect(source.signals[0]).not.toBe(signal);
    await layer.close();
    expect(source.closed).toBe(1);
  });
});
