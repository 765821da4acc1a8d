import { expect, it } from 'vitest';
import { CalyxError } from '../../core/errors.js';
import { isTemporary } from './failure.js';

it.each([
  [new CalyxError('unavailable', 'a source is away'), true],
  [new CalyxError('timeout', 'a source is slow'), true],
  [AbortSignal.abort().reason, true],
  [new DOMException('', 'TimeoutError'), true],
  [new CalyxError('corrupt', 'a wrong chunk'), false],
  [new Error('a fault of ours'), false],
  ['nonsense', false],
])('%s: ask again: %s', (error, temporary) => {
  expect(isTemporary(error)).toBe(temporary);
});
