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
  if (start >= size || end <= start) return { kind: 'unsatisfiable' };
  return { kind: 'part', extent: { offset: start, length: end - start } };
}

/** True if an `If-None-Match` or `If-Range` header (RFC 9110, sections 13.1.2 and 13.1.5) names this strong tag. */
export function namesTag(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  const tags = header.split(',').map((item) => item.trim());
  return tags.some((item) => item === '*' || item === tag || item === `W/${tag}`);
}
