import {
  createPrivateKey,
  createPublicKey,
  generateKeyPair as generateKeyPairWithCallback,
  sign,
} from 'node:crypto';
import { promisify } from 'node:util';

const generateKeyPair = promisify(generateKeyPairWithCallback);

// Tags of X.690, and the identifier of ecdsa-with-SHA256 (RFC 5758, section 3.2) in whole.
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const SEQUENCE = 0x30;
const CONTEXT_0 = 0xa0;
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');

/** A key, and the request for a certificate for it; both PEM. */
export interface CertificateRequest {
  /** A secret; stays in this process. */
  readonly key: string;
  readonly request: string;
}

/** A new key (ECDSA P-256) for {@link createCertificateRequest}, PEM. */
export async function createKey(): Promise<string> {
  const { privateKey } = await generateKeyPair('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/**
 * Requests a certificate (PKCS #10, RFC 2986) for a key. The request names nobody: what the certificate says comes from the token
 * of whoever sends it.
 *
 * @param key PEM, ECDSA P-256; by default a new one
 */
export async function createCertificateRequest(key?: string): Promise<CertificateRequest> {
  const pemOfKey = key ?? (await createKey());
  const privateKey = createPrivateKey(pemOfKey);
  const publicKey = createPublicKey(privateKey);
  const version = element(INTEGER, Buffer.of(0));
  const nobody = element(SEQUENCE);
  const publicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const info = element(SEQUENCE, version, nobody, publicKeyInfo, element(CONTEXT_0));
  const signature = element(BIT_STRING, Buffer.of(0), sign('sha256', info, privateKey));
  const request = element(SEQUENCE, info, element(SEQUENCE, ECDSA_WITH_SHA256), signature);
  return {
    key: pemOfKey,
    request: pem('CERTIFICATE REQUEST', request),
  };
}

/** An element of DER with less than 256 bytes of content. */
function element(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat(content);
  const length = bytes.length < 0x80 ? [bytes.length] : [0x81, bytes.length];
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n');
}
