import { z } from 'zod';
import { CalyxError } from '../../core/errors.js';
import { tokenFileSchema, type StoredToken } from './token-record.js';

/** The text of tokens.json: a line for each token. */
export function formatTokenFile(tokens: readonly StoredToken[]): string {
  const lines = tokens.map((token) => `  ${JSON.stringify(token)}`);
  return `{"version": 1, "tokens": [\n${lines.join(',\n')}\n]}\n`;
}

/**
 * Reads it.
 *
 * @param file names it in errors
 * @throws CalyxError `unreadable` if it is not a table of tokens
 */
export function parseTokenFile(file: string, text: string): StoredToken[] {
  let problem = 'it is not JSON';
  try {
    const result = tokenFileSchema.safeParse(JSON.parse(text));
    if (result.success) return result.data.tokens;
    problem = z.prettifyError(result.error).slice(0, 500);
  } catch {
    // What JSON.parse says would quote the file.
  }
  throw new CalyxError('unreadable', `${file}: this is not a table of tokens: ${problem}`, {
    hint: 'restore it from a backup, or remove it: then all tokens are to be made anew',
  });
}
