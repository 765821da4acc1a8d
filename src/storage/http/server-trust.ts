import { createSecureContext, type SecureContext } from 'node:tls';
import { STORE_NAME, WRITER_NAME, type ClusterCredential } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';

/** Options of `tls.connect` that tell a store by its certificate. */
export interface TlsTrust {
  readonly secureContext: SecureContext;
  readonly servername: string;
  readonly rejectUnauthorized: true;
}

/** How connections to a server are made, and what each request says about who asks. */
export interface ServerTrust {
  /** For `tls.connect`; undefined for `http:`. */
  readonly tls: TlsTrust | undefined;
  /** The value of the header `authorization`; a secret. */
  readonly authorization: string | undefined;
}

/** The one cipher that each TLS 1.3 has (RFC 8446, section 9.1) comes first: with AES in hardware it takes the least time. */
const CIPHERS = 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256';

/**
 * What a server is known by, and what it may be told. A server is known by the certificate of the cluster alone: neither other
 * authorities of this machine nor the environment can add to that. A token goes over TLS, or does not leave this machine.
 *
 * @throws CalyxError `usage` for a token that would go over plain HTTP to another machine, and for `https:` without a credential
 */
export function trustOf(url: URL, credential: ClusterCredential | undefined): ServerTrust {
  if (url.protocol === 'https:') {
    if (credential === undefined)
      throw new CalyxError('usage', `it is not known by what to recognise ${url.origin}`, {
        hint: "join its cluster first: 'calyx join STRING', with the line that 'calyx token create' prints on the store",
      });
    return { tls: clusterTls(credential.ca, credential.server), authorization: `Bearer ${credential.token}` };
  }
  // Plain HTTP proves nothing about who answers, so it is nothing for a token that is for one store alone.
  const safe = isOnThisMachine(url.hostname) && credential?.server !== WRITER_NAME;
  if (credential !== undefined && !safe)
    throw new CalyxError('usage', `the token would go to ${url.origin} for everyone on the way to read`, {
      hint: `write https://${url.host}; nothing was sent`,
    });
  return {
    tls: undefined,
    authorization: credential === undefined ? undefined : `Bearer ${credential.token}`,
  };
}

/**
 * Options of `tls.connect` for stores of a cluster; its certificate is read once.
 *
 * @param servername which of them
 * @default servername STORE_NAME: any
 */
export function clusterTls(ca: string, servername: string = STORE_NAME): TlsTrust {
  const secureContext = createSecureContext({ ca, ciphers: CIPHERS, minVersion: 'TLSv1.3' });
  // Not left to its default: NODE_TLS_REJECT_UNAUTHORIZED would change that.
  return { secureContext, servername, rejectUnauthorized: true };
}

/** True for the loopback addresses, as `URL.hostname` writes them. */
function isOnThisMachine(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}
