import type { Logger } from 'pino';
import { expect, it } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { RefusalLog } from './refusal-log.js';

const refusal = {
  door: 'stage',
  action: 'GET /v1/stage',
  address: '192.0.2.7',
  allowed: false,
  reason: 'unauthenticated',
} as const;

it('tells one refusal a minute, with the number of the others', () => {
  const lines: unknown[] = [];
  const logger = { warn: (line: unknown) => lines.push(line) } as unknown as Logger;
  const clock = new ManualClock();
  const log = new RefusalLog(logger, clock);
  for (let count = 0; count < 1000; count += 1) log.decided(refusal);
  log.decided({ ...refusal, allowed: true });
  expect(lines).toMatchObject([{ address: '192.0.2.7', reason: 'unauthenticated' }]);
  clock.advance(60_000);
  log.decided(refusal);
  expect(lines[1]).toMatchObject({ othersBefore: 999 });
  expect(lines).toHaveLength(2);
});
