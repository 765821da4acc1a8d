import { CalyxError } from '../../core/errors.js';

/** The error for who is not known, with the way in. */
export function unauthenticated(message: string): CalyxError {
  return new CalyxError('unauthenticated', message, {
    hint: "get a token from 'calyx token create' on the store",
  });
}
