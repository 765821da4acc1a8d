import { sign } from 'node:crypto';
import { join } from 'node:path';
import type { Grant, TlsSettings } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import { certificateFingerprint } from '../../core/fingerprint.js';
import { refStatementBytes, type RefStatement } from '../../core/ref-statement.js';
import { statementBytes, type SignedStatement, type StatementKind } from '../../core/signed-statement.js';
import type * as Makers from './issue-certificates.js';
import { readIdentityFile, writeIdentityFile, type KeyAndCertificate } from './identity-file.js';

/** A certificate for the holder of a token. */
export interface IssuedCertificate {
  /** PEM; after it the certificate of the cluster. */
  readonly certificate: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Who a cluster is: a private authority, whose key never leaves the store. */
export interface ClusterIdentity {
  /** The certificate of the cluster, PEM. */
  readonly ca: string;
  /** Its fingerprint (see {@link certificateFingerprint}), which is part of each token. */
  readonly fingerprint: string;
  /**
   * A new key and certificate for a server of this store, good for 90 days.
   *
   * @param names host names and IP addresses under which it is reached; STORE_NAME, WRITER_NAME and `localhost` are always among them,
   * and what cannot stand in a certificate is left out
   */
  serverTls(names: readonly string[]): Promise<TlsSettings>;
  /**
   * A certificate that carries a grant.
   *
   * @param request PKCS #10, PEM; only its public key counts
   * @param lifetimeMs at most 90 days
   * @default lifetimeMs one hour
   * @throws CalyxError `usage` for a request that is none, whose signature is wrong, or whose key is of a kind that is too weak or
   * unknown; also for a grant that comes from no token
   */
  issue(request: string, grant: Grant, lifetimeMs?: number): Promise<IssuedCertificate>;
  /**
   * A certificate for another store of the cluster, which keeps its key to itself.
   *
   * @param request as for `issue`
   * @param names as for `serverTls`, but WRITER_NAME, and whatever else means something inside of a cluster, is never among them
   * @param lifetimeMs at most 90 days
   * @throws CalyxError `usage` as `issue` does
   */
  issueStore(request: string, names: readonly string[], lifetimeMs: number): Promise<IssuedCertificate>;
  /** Signs what a ref says: ECDSA P-256 with SHA-256, base64url of the DER. */
  signRef(statement: RefStatement): string;
  /**
   * Signs what is said to all stores and nodes.
   *
   * @param statement JSON
   */
  sign(kind: StatementKind, statement: string): SignedStatement;
}

/** Options of {@link openIdentity}. */
export interface IdentityOptions {
  /**
   * Milliseconds since 1970.
   *
   * @default Date.now
   */
  readonly now?: () => number;
}

export const DEFAULT_LIFETIME_MS = 60 * 60 * 1000;

/** The file with the key and the certificate of the cluster. */
export function identityFile(directory: string): string {
  return join(directory, 'identity.pem');
}

/**
 * Opens the identity of a cluster, or makes it if there is none. Only the owner of the data directory may call it.
 *
 * @param directory for the owner's eyes only; is made if it is not there
 * @throws CalyxError `refused` if others could read the key, `corrupt` if it is damaged, `unreadable`, `disk-full`
 */
export async function openIdentity(
  directory: string,
  { now = Date.now }: IdentityOptions = {},
): Promise<ClusterIdentity> {
  const path = identityFile(directory);
  const { key, certificate } = (await readIdentityFile(path)) ?? (await makeIdentity(path));
  const ca = certificate.toString();
  const authority = { key, certificate: ca, now };
  const signed = (bytes: Buffer): string => sign('sha256', bytes, key).toString('base64url');
  return {
    ca,
    fingerprint: certificateFingerprint(certificate.raw),
    serverTls: async (names) => {
      const { issueServerCertificate } = await makers();
      return { ...(await issueServerCertificate(authority, names)), ca };
    },
    issue: async (request, grant, lifetimeMs = DEFAULT_LIFETIME_MS) => {
      const { issueGrantCertificate } = await makers();
      return issueGrantCertificate(authority, request, grant, lifetimeMs);
    },
    issueStore: async (request, names, lifetimeMs) => {
      const { issueStoreCertificate } = await makers();
      return issueStoreCertificate(authority, request, names, lifetimeMs);
    },
    signRef: (statement) => signed(refStatementBytes(statement)),
    sign: (kind, statement) => ({ statement, signature: signed(statementBytes(kind, statement)) }),
  };
}

async function makeIdentity(path: string): Promise<KeyAndCertificate> {
  const { createAuthority } = await makers();
  const { key, certificate } = await createAuthority();
  await writeIdentityFile(path, key, certificate);
  const made = await readIdentityFile(path);
  if (made !== undefined) return made;
  throw new CalyxError('changed', `the identity of the cluster, ${path}, went away as it was made`);
}

/** The library for certificates takes a fifth of a second and 25 MiB to load, so only who makes one loads it. */
function makers(): Promise<typeof Makers> {
  return import('./issue-certificates.js');
}
