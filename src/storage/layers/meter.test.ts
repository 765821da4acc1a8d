import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { failure, fast, fastError, ScriptedSource, slow, slowError, type Answer } from '../../../test/support/scripted-source.js'; // prettier-ignore
import { MeterLayer } from './meter.js';

const BLOB = 'b'.repeat(64);

const over = (...answers: Answer[]) => {
  const source = new ScriptedSource('inner', answers);
  const clock = new ManualClock();
  return { source, clock, layer: new MeterLayer(source, clock) };
};

/** An answer that takes half a second. */
const taking =
  (clock: () => ManualClock, answer: Answer): Answer =>
  (source, signal) => {
    clock().advance(500);
    return answer(source, signal);
  };

describe('MeterLayer', () => {
  it.each([
    ['Fast', fast],
    ['Slow', slow],
  ])('%s: counts reads, bytes and time, and changes nothing', async (_, answer) => {
    const { source, layer, clock } = over(
      taking(() => clock, answer('abc')),
      taking(() => clock, answer('de')),
    );
    const { signal } = new AbortController();
    const lease = await layer.read(BLOB, 4, 3, { signal });
    expect(bytesOf(lease).toString()).toBe('abc');
    await layer.read(BLOB, 7, 2);
    expect(layer.meter).toEqual({ reads: 2, bytes: 5, errors: 0, corrupt: 0, seconds: 1 });
    expect(source.reads).toEqual(['4+3', '7+2']);
    expect(source.signals).toEqual([signal, undefined]);
    expect(source.onLoan).toBe(2);
    lease.release();
    expect(source.onLoan).toBe(1);
  });

  it.each([
    ['FastError', fastError],
    ['SlowError', slowError],
  ])('%s: counts errors, wrong bytes among them, and no bytes', async (_, answer) => {
    const [down, wrong] = [failure('unavailable', 'down'), failure('corrupt', 'wrong')];
    const { layer, clock } = over(
      taking(() => clock, answer(down)),
      answer(wrong),
    );
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(down);
    expect(layer.meter).toEqual({ reads: 1, bytes: 0, errors: 1, corrupt: 0, seconds: 0.5 });
    await expect(layer.read(BLOB, 0, 1)).rejects.toBe(wrong);
    expect(layer.meter).toEqual({ reads: 2, bytes: 0, errors: 2, corrupt: 1, seconds: 0.5 });
  });

  it('bears the name of what it measures, and closes it', async () => {
    const { layer, source } = over();
    expect(layer.name).toBe('inner');
    await layer.close();
    expect(source.closed).toBe(1);
  });
});
