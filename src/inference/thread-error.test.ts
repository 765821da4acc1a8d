import { expect, it } from 'vitest';
import { CalyxError } from '../core/errors.js';
import { fromThreadError, toThreadError } from './thread-error.js';

it('brings an error over as it is', () => {
  const error = fromThreadError(
    structuredClone(toThreadError(new CalyxError('busy', 'no room', { hint: 'wait' }))),
  );
  expect(error).toMatchObject({ code: 'busy', message: 'no room', hint: 'wait' });
  expect(error.cause).toBeUndefined();
});

it('brings what was not expected over with where it was thrown', () => {
  const thrown = new TypeError('of undefined');
  const error = fromThreadError(structuredClone(toThreadError(thrown)));
  expect(error).toMatchObject({ code: 'internal', message: 'of undefined' });
  expect((error.cause as Error).stack).toBe(thrown.stack);
});
