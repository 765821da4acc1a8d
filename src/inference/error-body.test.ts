import { describe, expect, it } from 'vitest';
import { ERROR_STATUS } from '../core/error-status.js';
import { CalyxError } from '../core/errors.js';
import { fromErrorBody, statusOf, toErrorBody } from './error-body.js';

describe('error bodies', () => {
  it('have the status of the one table: whoever is busy may be asked again', () => {
    for (const [code, status] of Object.entries(ERROR_STATUS))
      expect(statusOf(code as keyof typeof ERROR_STATUS)).toBe(status);
    expect(ERROR_STATUS).toMatchObject({ busy: 503, exists: 409, usage: 400, timeout: 504 });
  });

  it('bring an error over, with the name of where it came from', () => {
    const body = toErrorBody(new CalyxError('busy', 'no room', { hint: 'wait' }));
    expect(fromErrorBody(body, 'http://n')).toMatchObject({
      code: 'busy',
      message: 'http://n: no room',
      hint: 'wait',
    });
  });

  it.each([[null], ['x'], [{ code: 'toString', message: 1 }], [{ code: '__proto__' }]])(
    'take %j for an internal error',
    (body) => {
      expect(fromErrorBody(body)).toMatchObject({
        code: 'internal',
        message: 'an error without a message',
      });
    },
  );
});
