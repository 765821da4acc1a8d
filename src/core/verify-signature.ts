import { X509Certificate, verify } from 'node:crypto';

/** Base64url without padding; an ECDSA P-256 signature takes at most 72 bytes of DER (RFC 3279, section 2.2.3). */
const SIGNATURE = /^[A-Za-z0-9_-]{10,96}$/;

/**
 * True if the cluster with this certificate has signed these bytes (ECDSA P-256 with SHA-256). False for anything else, also for what is
 * no signature.
 *
 * @param signature base64url of the DER
 * @param caPem the certificate of the cluster
 * @throws Error if `caPem` is no certificate
 */
export function verifySignature(bytes: Uint8Array, signature: string, caPem: string): boolean {
  const key = new X509Certificate(caPem).publicKey;
  if (!SIGNATURE.test(signature) || key.asymmetricKeyType !== 'ec') return false;
  try {
    return verify('sha256', bytes, key, Buffer.from(signature, 'base64url'));
  } catch {
    // OpenSSL may throw for what is no DER.
    return false;
  }
}
