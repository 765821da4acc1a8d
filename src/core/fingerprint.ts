import { X509Certificate, createHash } from 'node:crypto';

/**
 * What tells a certificate from all others: the SHA-256 of its DER, base64url (43 characters).
 *
 * @param certificate PEM (of several, the first one counts) or DER
 * @throws Error if a text is no certificate
 */
export function certificateFingerprint(certificate: string | Uint8Array): string {
  const der = typeof certificate === 'string' ? new X509Certificate(certificate).raw : certificate;
  return createHash('sha256').update(der).digest('base64url');
}
