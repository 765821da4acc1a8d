import type { Extent } from '../../core/byte-range.js';

/** What a `Range` header asks of a content of known size. */
export type RangeAnswer =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly extent: Extent }
  | { readonly kind: 'unsatisfiable' };

/**
 * Reads a `Range` header (RFC 9110, section 14.1.2). One range of bytes is served; several ranges, other units and malformed
 * headers may be ignored by the RFC (section 14.2), and are.
 *
 * @param header its value, if the request has one
 * @param size bytes of the whole content
 */
export function parseRange(header: string | undefined, size: number): RangeAnswer {
  const match = /^bytes=(\d*)-(\d*)$/i.exec(header?.trim() ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return { kind: 'whole' };
  const start = first === '' ? Math.max(size - Number(last), 0) : Number(first);
  const end = first === '' || last === '' ? size : Math.min(Number(last) + 1, size);
  if (first !== '' && last !== '' && Number(last) < Number(first)) return { kind: 'whole' };
  // The suffix of an empty content is all of it, but no Content-Range can say so.
  if (first === '' && Number(last) > 0 && size === 0) return { kind: 'whole' };
  if (start >= size || end <= start) return { kind: 'unsatisfiable' };
  return { kind: 'part', extent: { offset: start, length: end - start } };
}

/** True if an `If-None-Match` header (RFC 9110, section 13.1.2) names this strong tag. */
export function namesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const tags = header.split(',').map((item) => item.trim());
  return tags.some((item) => item === '*' || item === tag || item === `W/${tag}`);
}

/**
 * True if an `If-Range` header (RFC 9110, section 13.1.5) lets the range be served: it must be this very strong tag. Dates never do,
 * because we send none.
 */
export function matchesIfRange(header: string, tag: string | undefined): boolean {
  return tag !== undefined && header.trim() === tag;
}
