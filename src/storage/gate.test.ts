import { describe, expect, it } from 'vitest';
import { nextTurn } from '../../test/support/scripted-source.js';
import { Gate } from './gate.js';

/** Whether a promise is settled by now. */
async function entered(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const note = (): void => void (settled = true);
  promise.then(note, note);
  await nextTurn();
  return settled;
}

describe('Gate', () => {
  it('lets in what fits, and others in turn when there is room', async () => {
    const gate = new Gate(10);
    const leave = await gate.enter(6);
    const [large, small] = [gate.enter(5), gate.enter(1)];
    // The small one fits, but it came later.
    expect([await entered(large), await entered(small)]).toEqual([false, false]);
    expect(gate.tryEnter(1)).toBeUndefined();
    leave();
    expect([await entered(large), await entered(small)]).toEqual([true, true]);
  });

  it('lets who wants more than all of it in alone', async () => {
    const gate = new Gate(10);
    const leave = await gate.enter(1);
    const all = gate.enter(1000);
    expect(await entered(all)).toBe(false);
    leave();
    const leaveAll = await all;
    const next = gate.enter(1);
    expect(await entered(next)).toBe(false);
    leaveAll();
    expect(await entered(next)).toBe(true);
  });

  it('lets who gives up make room for those behind', async () => {
    const gate = new Gate(10);
    const leave = await gate.enter(9);
    const impatient = new AbortController();
    const [large, small] = [gate.enter(5, impatient.signal), gate.enter(1)];
    const reason = new Error('enough');
    impatient.abort(reason);
    await expect(large).rejects.toBe(reason);
    expect(await entered(small)).toBe(true);
    leave();
    await expect(gate.enter(1, AbortSignal.abort(reason))).rejects.toBe(reason);
    expect(gate.tryEnter(9)).toBeTypeOf('function');
  });
});
