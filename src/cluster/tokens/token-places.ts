import { CalyxError } from '../../core/errors.js';
import { endOf, type StoredToken } from './token-record.js';

/** How many tokens there may be, with those that are listed as revoked or expired, unless something else is said. */
export const TOKEN_PLACES = {
  maxTokens: 10_000,
  /** Made from other machines with one token, and with the tokens that were made with it. */
  maxTokensUnderOne: 1_000,
} as const;

/**
 * Makes room for one more: those that are over go early, the oldest first, unless a certificate of theirs may still be good.
 *
 * @param overSince milliseconds since 1970; what has ended later than that may still have certificates
 * @throws CalyxError `over-budget`
 */
export function makeRoom(tokens: Map<string, StoredToken>, maxTokens: number, overSince: number): void {
  if (tokens.size < maxTokens) return;
  const over = [...tokens.values()].filter((token) => endOf(token) <= overSince);
  over.sort((a, b) => endOf(a) - endOf(b));
  for (const { id } of over.slice(0, tokens.size - maxTokens + 1)) tokens.delete(id);
  if (tokens.size >= maxTokens)
    throw new CalyxError('over-budget', `there are ${tokens.size} tokens, and no more are kept`, {
      hint: 'revoke those that are not used; they make room after 25 hours',
    });
}

/**
 * Looks whether there may be one more under a token. Whoever may make tokens, also ones of a narrow pattern, could otherwise take the
 * places of all.
 *
 * @param under undefined for what is made on the store, which has no share of its own
 * @param overSince as of {@link makeRoom}
 * @throws CalyxError `over-budget`
 */
export function checkShare(
  tokens: ReadonlyMap<string, StoredToken>,
  under: string | undefined,
  maxTokens: number,
  overSince: number,
): void {
  if (under === undefined) return;
  let count = 0;
  for (const token of tokens.values()) if (token.under === under && endOf(token) > overSince) count += 1;
  if (count < maxTokens) return;
  throw new CalyxError(
    'over-budget',
    `${count} tokens were made with the token ${under} or with one of these, and no more are kept`,
    {
      hint: "revoke those that are not used, they make room after 25 hours; or have them made on the store: 'calyx token create'",
    },
  );
}
