import { X509Certificate } from 'node:crypto';
import type { Grant } from '../../core/access.js';
import { HolderRefused } from '../../core/holder-refused.js';
import { unauthenticated } from './unauthenticated.js';

/** Reads who a certificate is for; undefined if it does not say. TLS has proven that the cluster issued it. */
export type GrantOfCertificate = (der: Uint8Array) => Grant | undefined;

interface Known {
  readonly grant: Grant & { readonly tokenId: string };
  /** Milliseconds since 1970. */
  readonly endsAt: number;
}

/**
 * Tells who shows a certificate. Each is read once, and known again by its buffer: hand in the same one for all requests of a
 * connection.
 */
export class Certificates {
  readonly #known = new WeakMap<Uint8Array, Known>();
  readonly #grantOf: GrantOfCertificate;

  constructor(grantOf: GrantOfCertificate) {
    this.#grantOf = grantOf;
  }

  /**
   * @param now milliseconds since 1970: TLS looks at the end of a certificate only when a connection begins
   * @throws CalyxError `unauthenticated` if it names no token, or is over
   */
  check(der: Uint8Array, now: number): Known['grant'] {
    const { grant, endsAt } = this.#read(der);
    if (now >= endsAt) throw new HolderRefused(grant, unauthenticated('this certificate is over'));
    return grant;
  }

  #read(der: Uint8Array): Known {
    const before = this.#known.get(der);
    if (before !== undefined) return before;
    const grant = this.#grantOf(der);
    if (grant?.tokenId === undefined) throw unauthenticated('this certificate does not say who it is for');
    const known = { grant: { ...grant, tokenId: grant.tokenId }, endsAt: certificateEnd(der) };
    this.#known.set(der, known);
    return known;
  }
}

/**
 * When a certificate is over, in milliseconds since 1970: then a connection that it opened is to be ended.
 *
 * @throws CalyxError `unauthenticated` if it is none
 */
export function certificateEnd(der: Uint8Array): number {
  try {
    return Date.parse(new X509Certificate(der).validTo);
  } catch {
    throw unauthenticated('this is not a certificate');
  }
}
