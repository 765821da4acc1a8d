import 'reflect-metadata';
import { generateKeyPairSync, KeyObject, randomBytes, sign, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

/** Whoever a test wants somebody to be; all PEM. */
export interface Pair {
  readonly key: string;
  readonly certificate: string;
}

/** What a certificate says. */
export interface Says {
  readonly uri?: string;
  readonly dns?: readonly string[];
  readonly usages?: readonly x509.ExtendedKeyUsage[];
  /** From now, in milliseconds. @default an hour ago and in an hour */
  readonly from?: number;
  readonly to?: number;
}

const HOUR_MS = 3_600_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
export const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;

/** A token of tests by its number: 12 hex digits. */
export const tokenId = (number: number): string => number.toString(16).padStart(12, '0');

/** A certificate authority that issues whatever a test needs, also what no store would. */
export class SmallPki {
  readonly certificate: string;
  readonly #issuer: x509.X509Certificate;
  readonly #key: webcrypto.CryptoKey;

  private constructor(issuer: x509.X509Certificate, key: webcrypto.CryptoKey) {
    this.#issuer = issuer;
    this.#key = key;
    this.certificate = issuer.toString('pem');
  }

  static async make(): Promise<SmallPki> {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const issuer = await x509.X509CertificateGenerator.createSelfSigned({
      name: `CN=test ${randomBytes(4).toString('hex')}`,
      keys: keys,
      signingAlgorithm: ALGORITHM,
      notBefore: new Date(Date.now() - 24 * HOUR_MS),
      notAfter: new Date(Date.now() + 24 * HOUR_MS),
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new SmallPki(issuer, keys.privateKey);
  }

  /** A new key and its certificate. */
  async pair(says: Says): Promise<Pair> {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { key, certificate: await this.issue(publicKey.export({ type: 'spki', format: 'der' }), says) };
  }

  /** A certificate for the key of a request (PKCS #10). */
  async sign(request: string, says: Says): Promise<string> {
    const parsed = new x509.Pkcs10CertificateRequest(request);
    if (!(await parsed.verify())) throw new Error('the signature of the request is wrong');
    return this.issue(parsed.publicKey.rawData, says);
  }

  /** Signs bytes as a cluster does: ECDSA P-256 with SHA-256, base64url of the DER. */
  signature(bytes: Uint8Array): string {
    return sign('sha256', bytes, KeyObject.from(this.#key)).toString('base64url');
  }

  async issue(
    publicKey: Uint8Array<ArrayBuffer> | ArrayBuffer,
    { uri, dns = [], usages = [clientAuth], from, to }: Says,
  ): Promise<string> {
    const names: x509.JsonGeneralName[] = dns.map((value) => ({ type: 'dns', value }));
    if (uri !== undefined) names.push({ type: 'url', value: uri });
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: `4${randomBytes(8).toString('hex').slice(1)}`,
      subject: 'CN=somebody',
      issuer: this.#issuer.subject,
      notBefore: new Date(Date.now() + (from ?? -HOUR_MS)),
      notAfter: new Date(Date.now() + (to ?? HOUR_MS)),
      publicKey,
      signingKey: this.#key,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false),
        new x509.ExtendedKeyUsageExtension([...usages]),
        ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ],
    });
    return `${certificate.toString('pem')}\n`;
  }
}

/** What the certificate of a token says, as the design has it. */
export function grantOf(id: string, role: 'read' | 'node' | 'admin', models = '*', name = 'test'): Says {
  const uri = `calyx://grant/${id}?role=${role}&models=${encodeURIComponent(models)}&name=${name}`;
  if (role === 'read') return { uri, usages: [clientAuth] };
  return { uri, dns: ['node.calyx.internal'], usages: [clientAuth, serverAuth] };
}
