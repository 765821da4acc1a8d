import type { FastifyReply, FastifyRequest } from 'fastify';
import { CalyxError } from '../../../core/errors.js';
import { queryOf } from './query-values.js';

/** A page has at most so many entries: about 3 MB. Not all clients go on to a second one. */
export const MAX_PAGE = 10_000;

/**
 * The page that `limit` and `cursor` of a query ask for; if there is more, the reply gets a `Link` to it (RFC 8288).
 *
 * @param entries ascending by their keys
 * @param keyOf the cursor after an entry
 * @throws CalyxError `usage`
 */
export function page<T>(
  entries: readonly T[],
  keyOf: (entry: T) => string,
  request: FastifyRequest,
  reply: FastifyReply,
): readonly T[] {
  const query = queryOf(request);
  const limit = parseLimit(query.get('limit'));
  const after = query.get('cursor');
  const from = after === null ? entries : entries.filter((entry) => keyOf(entry) > after);
  const shown = from.slice(0, limit);
  const last = shown.at(-1);
  if (shown.length < from.length && last !== undefined) {
    query.set('cursor', keyOf(last));
    const path = request.url.split('?')[0] ?? '';
    // The host is one that the guard has let pass.
    const next = new URL(`${request.protocol}://${request.headers.host ?? ''}${path}`);
    next.search = query.toString();
    void reply.header('link', `<${next.href}>; rel="next"`);
  }
  return shown;
}

function parseLimit(text: string | null): number {
  if (text === null || text === '') return MAX_PAGE;
  const limit = Number(text);
  if (!Number.isSafeInteger(limit) || limit < 1)
    throw new CalyxError('usage', `'${text.slice(0, 40)}' is no number of entries`, {
      hint: `give a limit of 1 to ${MAX_PAGE}`,
    });
  return Math.min(limit, MAX_PAGE);
}
