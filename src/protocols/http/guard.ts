import { isIP } from 'node:net';
import { CalyxError } from '../../core/errors.js';

/** What of a request's headers tells where it comes from. */
export interface RequestOrigin {
  readonly host: string | undefined;
  readonly origin: string | undefined;
  readonly fetchSite: string | undefined;
  /** It came over TLS. @default false */
  readonly tls?: boolean;
}

/** Values of `Sec-Fetch-Site` (W3C Fetch Metadata) of requests that no other site caused. */
const OWN_SITES = ['same-origin', 'none'];

/**
 * Refuses requests that a page in a browser could have caused: those with the `Origin` of another site, and those whose `Host`
 * is a name that we do not know, as after DNS rebinding. An address is no name, so it cannot be rebound; nor can a name that came over
 * TLS, because no certificate of ours is good for it.
 *
 * @param hosts names, besides `localhost` and addresses, under which this server is known
 * @throws CalyxError `refused`
 */
export function checkOrigin(request: RequestOrigin, hosts: readonly string[] = []): void {
  const host = hostName(request.host);
  const known = request.tls === true || host === 'localhost' || isIP(host ?? '') !== 0;
  if (host === undefined || !(known || hosts.includes(host))) {
    throw new CalyxError(
      'refused',
      `requests for the host '${(request.host ?? '').slice(0, 100)}' are not answered`,
      {
        hint: 'use the address of the server, or name the host when the server starts (--host-name)',
      },
    );
  }
  const own = `${request.tls === true ? 'https' : 'http'}://${request.host ?? ''}`;
  const foreign = request.origin !== undefined && request.origin !== own;
  const otherSite = request.fetchSite !== undefined && !OWN_SITES.includes(request.fetchSite);
  if (foreign || otherSite) {
    throw new CalyxError('refused', 'requests from pages of other sites are not answered', {
      hint: 'use the command line',
    });
  }
}

/** True if only processes of this machine can reach what listens on `host`. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The name of a `Host` header without port and brackets, in lower case. */
function hostName(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/i.exec(header ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase();
}
