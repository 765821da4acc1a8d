import { expect } from 'vitest';
import { CalyxError, type ErrorCode } from '../../src/core/errors.js';

/** What an error must be: its code, and pieces that its message must contain. */
export interface ExpectedError {
  readonly code: ErrorCode;
  readonly says: readonly (string | RegExp)[];
}

/** Runs `action`, expects it to fail with a CalyxError as described, and returns that. */
export async function expectError(
  action: () => unknown,
  code: ErrorCode,
  ...says: (string | RegExp)[]
): Promise<CalyxError> {
  let outcome: unknown;
  try {
    outcome = await action();
  } catch (error) {
    expect(error).toBeInstanceOf(CalyxError);
    const known = error as CalyxError;
    const text = `${known.message}\n${known.hint ?? ''}`;
    expect(known.code, text).toBe(code);
    for (const piece of says) {
      if (typeof piece === 'string') expect(text).toContain(piece);
      else expect(text).toMatch(piece);
    }
    return known;
  }
  throw new Error(`it should have failed with '${code}', but it returned ${String(outcome)}`);
}
