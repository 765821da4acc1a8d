import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { STORE_NAME, type TlsSettings } from '../../src/core/access.js';

const KEYS = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const SIGNING = { name: 'ECDSA', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;

/** A key and its certificate, PEM. */
export interface KeyAndCertificate {
  readonly key: string;
  readonly certificate: string;
}

/** A certificate authority for tests, made with the library alone, without our code. */
export interface TestAuthority {
  readonly ca: string;
  /** For a server on this machine. */
  server(): Promise<TlsSettings>;
  /** For a client; over already if `lifetimeMs` is negative. */
  client(lifetimeMs?: number): Promise<KeyAndCertificate>;
}

export async function testAuthority(): Promise<TestAuthority> {
  const keys = await makeKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=test',
    notBefore: new Date(Date.now() - 24 * HOUR_MS),
    notAfter: new Date(Date.now() + 24 * HOUR_MS),
    keys,
    signingAlgorithm: SIGNING,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const ca = authority.toString('pem');
  const issue = async (
    subject: string,
    lifetimeMs: number,
    extensions: x509.Extension[],
  ): Promise<KeyAndCertificate> => {
    const own = await makeKeys();
    const certificate = await x509.X509CertificateGenerator.create({
      subject,
      issuer: authority.subject,
      notBefore: new Date(Date.now() - 12 * HOUR_MS),
      notAfter: new Date(Date.now() + lifetimeMs),
      publicKey: own.publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: SIGNING,
      extensions,
    });
    const der = await webcrypto.subtle.exportKey('pkcs8', own.privateKey);
    return {
      key: x509.PemConverter.encode(der, 'PRIVATE KEY'),
      certificate: `${certificate.toString('pem')}\n${ca}`,
    };
  };
  return {
    ca,
    server: async () => ({
      ...(await issue('CN=server', HOUR_MS, [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
        new x509.SubjectAlternativeNameExtension([
          { type: 'dns', value: STORE_NAME },
          { type: 'dns', value: 'localhost' },
          { type: 'ip', value: '127.0.0.1' },
        ]),
      ])),
      ca,
    }),
    client: (lifetimeMs = HOUR_MS) =>
      issue('CN=client', lifetimeMs, [
        new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      ]),
  };
}

function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(KEYS, true, ['sign', 'verify']);
}
