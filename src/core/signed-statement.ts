import { verifySignature } from './verify-signature.js';

/**
 * What the writer of a cluster says to all of its stores and nodes:
 *
 * - `tokens`: which tokens there are, with the hashes of their secrets
 * - `denied`: which tokens are good for nothing any more
 */
export type StatementKind = 'tokens' | 'denied';

/** Such a statement, as anybody may hand it on. */
export interface SignedStatement {
  /** JSON. It is signed, kept and handed on as it was written, so that nobody has to write the same bytes again. */
  readonly statement: string;
  /** By the key of the cluster (ECDSA P-256 with SHA-256), base64url of the DER. */
  readonly signature: string;
}

/**
 * The bytes that are signed: a line that says what it is, so that no statement can be taken for one of another kind, nor for that of a
 * ref (ref-statement.ts), then the statement.
 */
export function statementBytes(kind: StatementKind, statement: string): Buffer {
  return Buffer.from(`calyx ${kind} 1\n${statement}`);
}

/**
 * True if the cluster with this certificate has signed a statement of this kind.
 *
 * @param caPem the certificate of the cluster
 * @throws Error if `caPem` is no certificate
 */
export function verifyStatement(
  kind: StatementKind,
  { statement, signature }: SignedStatement,
  caPem: string,
): boolean {
  return verifySignature(statementBytes(kind, statement), signature, caPem);
}
