import 'reflect-metadata';
import { generateKeyPairSync, randomBytes, webcrypto, type KeyObject } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
  type JsonGeneralName,
} from '@peculiar/x509';
import { NODE_NAME, STORE_NAME, WRITER_NAME, hasRole, type Grant } from '../../core/access.js';
import { grantUri } from './certificate-grant.js';
import { certificateNames, isOwnName } from './certificate-names.js';
import type { IssuedCertificate } from './cluster-identity.js';
import { publicKeyOfRequest } from './public-key-of-request.js';

/** Who issues: the key of the cluster, its certificate (PEM) and what time it is. */
export interface Authority {
  readonly key: KeyObject;
  readonly certificate: string;
  readonly now: () => number;
}

/** A key and its certificate, PEM. */
export interface KeyAndCertificatePem {
  readonly key: string;
  readonly certificate: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

/** Clocks of a cluster may differ by this much. */
const CLOCK_SKEW_MS = 5 * 60 * 1000;
/** Clients take the holder for a node until the certificate is over, also when its token is revoked; so it is not one for long. */
const MAX_NODE_LIFETIME_MS = 60 * 60 * 1000;
/** From its beginning to its end no certificate takes more than 90 days. */
const MAX_LIFETIME_MS = 90 * 24 * 60 * 60 * 1000 - CLOCK_SKEW_MS;

// A store whose clock was wrong at its first start must not have made a cluster that is over, or has not begun, once it is right.
const CLUSTER_BEGINS = new Date('2025-01-01T00:00:00Z');
/** "No well-defined expiration date" (RFC 5280, section 4.1.2.5). */
const CLUSTER_ENDS = new Date('9999-12-31T23:59:59Z');

/** Makes an authority: a key, and a certificate with which it may issue certificates, but no further authorities. */
export async function createAuthority(): Promise<KeyAndCertificatePem> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  // Two clusters must differ by name too, because some programs look for issuers by their names alone.
  const name = [{ CN: [`Calyx cluster ${randomBytes(4).toString('hex')}`] }];
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: name,
    issuer: name,
    notBefore: CLUSTER_BEGINS,
    notAfter: CLUSTER_ENDS,
    publicKey: spki,
    signingKey: await signingKey(privateKey),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      await SubjectKeyIdentifierExtension.create(spki),
    ],
  });
  return { key: pkcs8(privateKey), certificate: `${certificate.toString('pem')}\n` };
}

/** See ClusterIdentity.serverTls. */
export async function issueServerCertificate(
  authority: Authority,
  names: readonly string[],
): Promise<KeyAndCertificatePem> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const { certificate } = await issue(authority, {
    publicKey,
    lifetimeMs: MAX_LIFETIME_MS,
    ...aStore([WRITER_NAME, ...names]),
  });
  return { key: pkcs8(privateKey), certificate };
}

/** See ClusterIdentity.issueStore. */
export async function issueStoreCertificate(
  authority: Authority,
  request: string,
  names: readonly string[],
  lifetimeMs: number,
): Promise<IssuedCertificate> {
  const publicKey = await publicKeyOfRequest(request);
  // Above all not that of the writer, by which others know whom to tell their tokens.
  return issue(authority, { publicKey, lifetimeMs, ...aStore(names.filter((name) => !isOwnName(name))) });
}

/** What the certificate of a store says of its holder. */
function aStore(names: readonly string[]): Pick<Issue, 'commonName' | 'usages' | 'names'> {
  return { commonName: 'Calyx store', usages: [ExtendedKeyUsage.serverAuth], names: serverNames(names) };
}

/** See ClusterIdentity.issue. */
export async function issueGrantCertificate(
  authority: Authority,
  request: string,
  grant: Grant,
  lifetimeMs: number,
): Promise<IssuedCertificate> {
  const uri: JsonGeneralName = { type: 'url', value: grantUri(grant) };
  const serves = hasRole(grant, 'node') && lifetimeMs <= MAX_NODE_LIFETIME_MS;
  return issue(authority, {
    publicKey: await publicKeyOfRequest(request),
    // Programs that find no name of a host elsewhere look here, so it must not be one that somebody could choose.
    commonName: `Calyx token ${grant.tokenId ?? ''}`,
    lifetimeMs,
    usages: [ExtendedKeyUsage.clientAuth, ...(serves ? [ExtendedKeyUsage.serverAuth] : [])],
    names: serves ? [{ type: 'dns', value: NODE_NAME }, uri] : [uri],
  });
}

interface Issue {
  readonly publicKey: KeyObject;
  readonly commonName: string;
  readonly lifetimeMs: number;
  readonly usages: readonly ExtendedKeyUsage[];
  readonly names: JsonGeneralName[];
}

async function issue(
  { key, certificate, now }: Authority,
  { publicKey, commonName, lifetimeMs, usages, names }: Issue,
): Promise<IssuedCertificate> {
  const issuer = new X509Certificate(certificate);
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  // Certificates count in seconds.
  const expiresAt = Math.floor((now() + Math.min(lifetimeMs, MAX_LIFETIME_MS)) / 1000) * 1000;
  const issued = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [commonName] }],
    issuer: issuer.subjectName,
    notBefore: new Date(now() - CLOCK_SKEW_MS),
    notAfter: new Date(expiresAt),
    publicKey: spki,
    signingKey: await signingKey(key),
    signingAlgorithm: ALGORITHM,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([...usages]),
      new SubjectAlternativeNameExtension(names),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await SubjectKeyIdentifierExtension.create(spki),
    ],
  });
  return { certificate: `${issued.toString('pem')}\n${certificate}`, expiresAt };
}

function serverNames(texts: readonly string[]): JsonGeneralName[] {
  return certificateNames([STORE_NAME, 'localhost', ...texts]).map(({ type, value }) => ({ type, value }));
}

/** 128 random bits; the first byte is from 64 to 127, so that all of them count and the number is positive (RFC 5280, section 4.1.2.2). */
function serialNumber(): string {
  const first = 0x40 | ((randomBytes(1)[0] ?? 0) & 0x3f);
  return Buffer.concat([Buffer.of(first), randomBytes(16)]).toString('hex');
}

function signingKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

function pkcs8(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}
