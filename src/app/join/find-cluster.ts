import { X509Certificate } from 'node:crypto';
import { connect, type ConnectionOptions, type DetailedPeerCertificate, type TLSSocket } from 'node:tls';
import { STORE_NAME } from '../../core/access.js';
import { CalyxError, errorMessage } from '../../core/errors.js';
import { certificateFingerprint } from '../../core/fingerprint.js';
import { clusterTls } from '../../storage/http/server-trust.js';
import { explainTlsFailure } from '../../storage/http/tls-failure.js';
import { shownChain } from '../../storage/http/shown-chain.js';

/** Longest wait for an address to show its certificate. */
const HANDSHAKE_MS = 10_000;

/**
 * The certificate of the cluster with a fingerprint, from one of its stores, which then has proven that it is one. Two connections are
 * made, and nothing is sent through either.
 *
 * @param address `HOST:PORT`
 * @returns PEM
 * @throws CalyxError `refused` if somebody else answers there; `unavailable` or `timeout` if nobody does
 */
export async function findCluster(
  address: string,
  fingerprint: string,
  signal?: AbortSignal,
): Promise<string> {
  // Whoever answers is looked at, whoever it is; nothing follows from it but which certificate to compare.
  const shown = await handshake(address, { servername: STORE_NAME, rejectUnauthorized: false }, signal);
  const der = shownChain(shown).find((certificate) => certificateFingerprint(certificate) === fingerprint);
  if (der === undefined) {
    throw new CalyxError(
      'refused',
      `the server at ${address} is not a store of this cluster: its certificate was not issued by the one with the fingerprint in the join string; nothing was sent`,
      {
        hint: "check that the line is the one that 'calyx token create' printed on this store; if it is, somebody may be between you and the store",
      },
    );
  }
  const ca = new X509Certificate(der).toString();
  // That it shows the cluster's certificate proves nothing: everybody can. That its own was issued by it does.
  await handshake(address, clusterTls(ca), signal);
  return ca;
}

function handshake(
  address: string,
  options: ConnectionOptions,
  signal: AbortSignal | undefined,
): Promise<DetailedPeerCertificate> {
  const { hostname, port } = new URL(`https://${address}`);
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const socket: TLSSocket = connect({
      ...options,
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port === '' ? 443 : port),
    });
    const end = (settle: () => void): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      socket.destroy();
      settle();
    };
    const onAbort = (): void => end(() => reject(signal?.reason as Error));
    const late = (): void =>
      end(() => reject(new CalyxError('timeout', `${address} did not answer in ${HANDSHAKE_MS / 1000} s`)));
    const timer = setTimeout(late, HANDSHAKE_MS);
    signal?.addEventListener('abort', onAbort, { once: true });
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerCertificate(true);
      end(() => resolve(certificate));
    });
    socket.on('error', (error) =>
      end(() =>
        reject(
          explainTlsFailure(error, address) ??
            new CalyxError('unavailable', `cannot reach ${address}: ${errorMessage(error)}`, {
              cause: error,
            }),
        ),
      ),
    );
  });
}
