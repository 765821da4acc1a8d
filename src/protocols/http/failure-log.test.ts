import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { CalyxError } from '../../core/errors.js';
import { FailureLog } from './failure-log.js';

let lines: Record<string, unknown>[];
let clock: ManualClock;
let log: FailureLog;
beforeEach(() => {
  lines = [];
  clock = new ManualClock();
  const sink = { write: (line: string) => lines.push(JSON.parse(line) as Record<string, unknown>) };
  log = new FailureLog(pino({ level: 'info' }, sink), clock);
});

const busy = (url: string): void =>
  log.tell({
    error: new CalyxError('busy', 'all places are taken'),
    reference: undefined,
    method: 'POST',
    url,
  });

describe('FailureLog', () => {
  it('tells what was to be expected by one short line in ten seconds, and how many it left out', () => {
    for (let n = 0; n < 5_000; n += 1) busy(`/v1/stage/sessions?${n}`);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatchObject({ level: 40, code: 'busy', msg: 'all places are taken', url: '/v1/stage/sessions?0' });
    expect(JSON.stringify(lines[0])).not.toContain('stack');
    clock.advance(10_000);
    busy('/v1/stage/sessions');
    expect(lines).toHaveLength(2);
    expect(lines[1]).toMatchObject({ more: 4_999 });
  }); // prettier-ignore

  it('tells another code, and what nobody expected, beside it', () => {
    busy('/a');
    log.tell({ error: new CalyxError('unavailable', 'away'), reference: undefined, method: 'POST', url: '/b' });
    for (const reference of ['1', '2']) log.tell({ error: new Error('odd'), reference, method: 'GET', url: '/c' });
    expect(lines.map(({ level, reference }) => [level, reference])).toEqual([
      [40, undefined],
      [40, undefined],
      [50, '1'],
      [50, '2'],
    ]);
    expect(JSON.stringify(lines[2])).toContain('stack');
  }); // prettier-ignore
});
