import type { DetailedPeerCertificate } from 'node:tls';

/** A chain of a store has two; whoever shows more is not looked at for ever. */
const MAX_CHAIN = 8;

/** The certificates (DER) that a server showed, its own first. That of an authority is its own issuer. */
export function shownChain(certificate: DetailedPeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = [];
  let at: DetailedPeerCertificate | undefined = certificate;
  while (at?.raw !== undefined && chain.length < MAX_CHAIN) {
    chain.push(at.raw);
    at = at.issuerCertificate === at ? undefined : at.issuerCertificate;
  }
  return chain;
}
