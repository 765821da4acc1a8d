import { constants } from 'node:crypto';
import type { TlsOptions } from 'node:tls';
import type { TlsSettings } from '../../core/access.js';

/** Who does not finish the handshake within this time is gone. */
export const HANDSHAKE_MS = 10_000;

/** AES-128-GCM first: with the instructions that processors have for it, it is the fastest, and 128 bits are enough. */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
].join(':');

/**
 * What Node needs to serve TLS 1.2 and 1.3 (RFC 8446): ciphers with forward secrecy, no renegotiation.
 *
 * @param requestCertificates asks clients for a certificate of the cluster. Those without one are let in, but are not authorized
 */
export function tlsOptions(settings: TlsSettings, requestCertificates: boolean): TlsOptions {
  return {
    key: settings.key,
    cert: settings.certificate,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    honorCipherOrder: true,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: HANDSHAKE_MS,
    // A session that is resumed keeps what was found about the client's certificate, though that may be over by now.
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (requestCertificates ? constants.SSL_OP_NO_TICKET : 0),
    ...(requestCertificates ? { requestCert: true, rejectUnauthorized: false, ca: settings.ca } : {}),
  };
}
