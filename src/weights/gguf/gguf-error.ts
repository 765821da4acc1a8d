import { CalyxError } from '../../core/errors.js';

/** The error for a GGUF file that contradicts its format. */
export function invalidGguf(file: string, problem: string): CalyxError {
  return new CalyxError('invalid-model', `${file}: ${problem}`, {
    hint: 'download or export this file again',
  });
}

/** A name from a file, short enough for an error. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
