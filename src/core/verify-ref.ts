import { refStatementBytes, type RefStatement } from './ref-statement.js';
import { verifySignature } from './verify-signature.js';

/**
 * True if the cluster with this certificate has signed what a ref says. False for anything else, also for what is no signature.
 *
 * @param signature base64url of the DER
 * @param caPem the certificate of the cluster
 * @throws Error if `caPem` is no certificate
 */
export function verifyRef(statement: RefStatement, signature: string, caPem: string): boolean {
  return verifySignature(refStatementBytes(statement), signature, caPem);
}
