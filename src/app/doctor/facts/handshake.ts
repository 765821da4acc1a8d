import { X509Certificate } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { STORE_NAME } from '../../../core/access.js';
import { errorMessage, systemCode } from '../../../core/errors.js';
import { certificateFingerprint } from '../../../core/fingerprint.js';
import { clusterTls } from '../../../storage/http/server-trust.js';
import type { AddressFailure } from './address-facts.js';
import { shownChain } from '../../../storage/http/shown-chain.js';

/** Where something is said to listen. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

/** A stage of a connection that failed. */
export class StageFailure extends Error {
  readonly kind: AddressFailure;

  constructor(kind: AddressFailure, detail: string) {
    super(detail);
    this.kind = kind;
  }
}

/** What system errors mean before a connection is there. */
const UNREACHED: Readonly<Record<string, AddressFailure>> = {
  ENOTFOUND: 'no-name',
  EAI_AGAIN: 'no-name',
  EHOSTUNREACH: 'no-route',
  ENETUNREACH: 'no-route',
  EADDRNOTAVAIL: 'no-route',
  EHOSTDOWN: 'no-route',
  ECONNREFUSED: 'refused',
  ETIMEDOUT: 'silent',
};

/** What a server answers with that speaks no TLS. */
const NO_TLS = [
  'ERR_SSL_WRONG_VERSION_NUMBER',
  'ERR_SSL_PACKET_LENGTH_TOO_LONG',
  'ERR_SSL_UNEXPECTED_MESSAGE',
];
const OUT_OF_DATE: Readonly<Record<string, AddressFailure>> = {
  CERT_HAS_EXPIRED: 'expired',
  CERT_NOT_YET_VALID: 'not-yet-valid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'not-a-store',
}; // prettier-ignore

/** Connects and hangs up. Throws StageFailure. */
export function reach({ host, port }: Endpoint, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, signal });
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', (error) => {
      // Of a name with several addresses, each has failed.
      const one = error instanceof AggregateError ? (error.errors[0] as unknown) : error;
      const kind = signal.aborted ? 'silent' : (UNREACHED[systemCode(one) ?? ''] ?? 'no-route');
      reject(new StageFailure(kind, signal.aborted ? 'no answer in time' : errorMessage(one)));
    });
  });
}

/** What a server showed in a handshake after which nothing was sent. */
export interface Shown {
  /** Of the server, and of the cluster. */
  readonly leaf: X509Certificate;
  readonly ca: X509Certificate;
  /** Why it does not count now; undefined if it does. */
  readonly invalid: AddressFailure | undefined;
}

/** By what a cluster is known: its certificate (PEM), or only the fingerprint of that. */
export type KnownBy = { readonly ca: string } | { readonly fingerprint: string };

/**
 * Shakes hands, looks at the certificates and hangs up.
 *
 * @throws StageFailure if it is not a server of this cluster
 */
export async function lookAtCertificate(at: Endpoint, knownBy: KnownBy, signal: AbortSignal): Promise<Shown> {
  const ca = 'ca' in knownBy ? knownBy.ca : await findAuthority(at, knownBy.fingerprint, signal);
  const { error, chain } = await handshake(at, signal, ca);
  const [raw] = chain;
  if (raw === undefined) throw new StageFailure('no-handshake', 'the server showed no certificate');
  const leaf = new X509Certificate(raw);
  const authority = new X509Certificate(ca);
  // Something that is over is only worth a word if it is the cluster's.
  const ours = leaf.verify(authority.publicKey);
  const invalid = error === undefined ? undefined : OUT_OF_DATE[error];
  if (!ours || (error !== undefined && invalid === undefined))
    throw new StageFailure('other-identity', error ?? 'its certificate was issued by somebody else');
  return { leaf, ca: authority, invalid };
}

async function findAuthority(at: Endpoint, fingerprint: string, signal: AbortSignal): Promise<string> {
  const { chain } = await handshake(at, signal);
  const der = chain.find((certificate) => certificateFingerprint(certificate) === fingerprint);
  if (der === undefined)
    throw new StageFailure('other-identity', 'its certificate was issued by somebody else');
  return new X509Certificate(der).toString();
}

/** A handshake that goes on whatever the certificate is, because nothing is sent after it; the certificate is judged by who asked. */
function handshake(
  { host, port }: Endpoint,
  signal: AbortSignal,
  ca?: string,
): Promise<{ readonly error: string | undefined; readonly chain: readonly Uint8Array[] }> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(new StageFailure('silent', 'no answer in time'));
      return;
    }
    const trust = ca === undefined ? { servername: STORE_NAME } : clusterTls(ca);
    const socket = connectTls({ host, port, ...trust, rejectUnauthorized: false });
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      settle();
    };
    const fail = (kind: AddressFailure, detail: string): void =>
      end(() => reject(new StageFailure(kind, detail)));
    const onAbort = (): void => fail('silent', 'it takes connections, but does not go on');
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', () => {
      const chain = shownChain(socket.getPeerCertificate(true));
      // Typed as an Error, but it is the code of one.
      const error = socket.authorized ? undefined : String(socket.authorizationError);
      end(() => resolve({ error, chain }));
    });
    socket.on('error', (error) => fail(kindOfTlsError(error), errorMessage(error).slice(0, 200)));
  });
}

function kindOfTlsError(error: unknown): AddressFailure {
  const code = systemCode(error) ?? '';
  if (NO_TLS.includes(code)) return 'no-tls';
  if (code.startsWith('ERR_SSL_') || code === 'EPROTO') return 'no-handshake';
  return UNREACHED[code] ?? 'cut-off';
}
