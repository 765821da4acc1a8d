import { CalyxError } from '../../core/errors.js';
import type { SignedStatement } from '../../core/signed-statement.js';
import { endOf, type StoredToken } from './token-record.js';

/** What a replica is told by the writer, who has signed it. */
export interface ToldTokens {
  readonly version: number;
  readonly tokens: readonly StoredToken[];
  /** Which of them are denied, as it is handed on. */
  readonly denied: SignedStatement;
}

type Tokens = ReadonlyMap<string, StoredToken>;

/**
 * The ids of those that were good and are not any more, or are other ones: what goes on under them is not what they say now.
 *
 * @param toldUntil what ended before has been told
 */
export function endedBetween(before: Tokens, after: Tokens, toldUntil: number, now: number): string[] {
  const ended = [...before.values()].filter((old) => {
    if (old.revokedAt !== undefined || endOf(old) <= toldUntil) return false;
    const kept = after.get(old.id);
    return kept === undefined || endOf(kept) <= now || !opensTheSame(old, kept);
  });
  return ended.map(({ id }) => id);
}

function opensTheSame(a: StoredToken, b: StoredToken): boolean {
  return a.sha256 === b.sha256 && a.role === b.role && a.models === b.models;
}

/** The error for what does not count, because something else is known as of `held`. */
export function outdated(version: number, held: number): CalyxError {
  const what =
    version === held
      ? 'something else was told under the same version'
      : `what was told is older (${version}) than what is known (${held})`;
  return new CalyxError('corrupt', `the tokens stay as they are, because ${what}`, {
    hint: 'if the clock of the store with the key of the cluster was wrong before, stop this store, remove .calyx/cluster/tokens.json, and start it again',
  });
}
