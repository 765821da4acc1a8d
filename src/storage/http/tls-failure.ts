import { STORE_NAME, WRITER_NAME } from '../../core/access.js';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';

/** Codes by which OpenSSL (X509_V_ERR_*) and Node tell that a certificate is not one of this cluster's stores. */
const NOT_OURS = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_CHAIN_TOO_LONG',
  'CERT_UNTRUSTED',
  'CERT_REJECTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
]);

const OUT_OF_DATE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'is no longer valid',
  CERT_NOT_YET_VALID: 'is not valid yet',
};

/** What a server answers with that speaks no TLS. */
const NO_TLS = new Set([
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_UNEXPECTED_MESSAGE',
]);

/**
 * What a failed handshake means: undefined if it is none, or one that may pass. Nothing is sent before a handshake is through, which the
 * messages say.
 *
 * @param server how the server is called in messages
 * @param name by which it was to be known
 * @returns CalyxError `refused`: the server is not to be spoken to, and waiting does not help; `unavailable` if the writer was looked for:
 * whoever else answers says nothing of what that would say
 */
export function explainTlsFailure(
  error: unknown,
  server: string,
  name: string = STORE_NAME,
): CalyxError | undefined {
  const code = systemCode(error) ?? '';
  const forWriter = name === WRITER_NAME;
  const refuse = (message: string, hint: string): CalyxError =>
    new CalyxError(forWriter ? 'unavailable' : 'refused', message, { hint, cause: error });
  if (NOT_OURS.has(code))
    return refuse(
      `the server at ${server} is not a store of this cluster: its certificate was not issued by it; nothing was sent`,
      "check the address; if the store has a new identity, join again with a line of 'calyx token create'",
    );
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID' && forWriter)
    return refuse(
      `the server at ${server} is of this cluster, but not its writer (the store with its key); nothing was sent`,
      'name the address of the writer; if this is the one, start it again with this version of Calyx',
    );
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return refuse(
      `the server at ${server} is of this cluster, but not a store; nothing was sent`,
      'check the address, above all its port',
    );
  const date = OUT_OF_DATE[code];
  if (date !== undefined)
    return refuse(
      `the certificate of the server at ${server} ${date}: here it is ${new Date().toISOString()}; nothing was sent`,
      'check the clocks of both machines (timedatectl); a store makes a new certificate when it is started again',
    );
  if (NO_TLS.has(code))
    return refuse(
      `the server at ${server} does not speak TLS; nothing was sent`,
      'check the port; an open store is asked at http://HOST:PORT',
    );
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO')
    return refuse(
      `no TLS with the server at ${server}: ${reason(error)}`,
      'check the address, and that the store is of the same version',
    );
  return undefined;
}

/** OpenSSL's messages are `...:error:NUMBER:LIBRARY:FUNCTION:REASON:FILE:LINE:...`. */
function reason(error: unknown): string {
  const text = errorMessage(error).trim();
  return /:error:[0-9A-F]+:[^:]*:[^:]*:([^:]+):/.exec(text)?.[1] ?? text.slice(0, 200);
}

/** True if a connection ended as one to a server does that expects TLS and is sent plain HTTP: without a word. */
export function endedWithoutAnswer(error: unknown): boolean {
  const code = systemCode(error);
  return (
    code === 'ECONNRESET' ||
    code === 'UND_ERR_SOCKET' ||
    /closed the connection|connection was closed/.test(errorMessage(error))
  );
}
