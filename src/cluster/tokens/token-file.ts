import { z } from 'zod';
import { CalyxError } from '../../core/errors.js';
import type { SignedStatement } from '../../core/signed-statement.js';
import { tokenFileSchema, type StoredToken } from './token-record.js';

/** What tokens.json holds. */
export interface TokenFile {
  /** The highest version under which others were told of the tokens; 0 if none were. */
  readonly told: number;
  /** On a replica, what the writer said in the same breath of the tokens that are denied. */
  readonly denied?: SignedStatement | undefined;
  readonly tokens: readonly StoredToken[];
}

/** The text of tokens.json: a line for each token. */
export function formatTokenFile({ told, denied, tokens }: TokenFile): string {
  const signed = denied === undefined ? '' : `, "denied": ${JSON.stringify(denied)}`;
  return `{"version": 1, "told": ${told}${signed}, "tokens": [\n${formatTokens(tokens)}\n]}\n`;
}

/** The tokens alone: two lists are the same if this is. */
export function formatTokens(tokens: readonly StoredToken[]): string {
  return tokens.map((token) => `  ${JSON.stringify(token)}`).join(',\n');
}

/**
 * Reads it.
 *
 * @param file names it in errors
 * @throws CalyxError `unreadable` if it is not a table of tokens
 */
export function parseTokenFile(file: string, text: string): TokenFile {
  let problem = 'it is not JSON';
  try {
    const result = tokenFileSchema.safeParse(JSON.parse(text));
    if (result.success) return result.data;
    problem = z.prettifyError(result.error).slice(0, 500);
  } catch {
    // What JSON.parse says would quote the file.
  }
  throw new CalyxError('unreadable', `${file}: this is not a table of tokens: ${problem}`, {
    hint: 'restore it from a backup, or remove it: then all tokens are to be made anew',
  });
}
