import { isIP } from 'node:net';
import type { StoreDescription } from '../../store/describe-store.js';
import { note, ok, problem, warning, type Verdict } from '../finding.js';
import { reachOf, type Reach } from '../reach-of.js';

const WHO: Readonly<Record<Reach, string>> = {
  loopback: 'this machine alone',
  private: 'machines of its private network',
  public: 'everybody whom no firewall stops: the address is public',
};

/**
 * Who can reach what a store listens on, and what holds those back.
 *
 * @param own the addresses of this machine, for listeners on all of them
 */
export function checkListeners(store: StoreDescription, own: readonly string[]): Verdict[] {
  return [...http(store, own), ...nfs(store, own)];
}

function http({ url, host, secured }: StoreDescription, own: readonly string[]): Verdict[] {
  const reach = reachOf(host, own);
  const at = `${host.replace(/^\[|\]$/g, '')}, port ${new URL(url).port || '443'}`;
  if (secured) return [ok(`HTTPS on ${at}, with tokens; it is reached by ${WHO[reach]}`)];
  if (reach === 'loopback') return [ok(`HTTP on ${at} asks nobody; it is reached by ${WHO[reach]}`)];
  return [
    problem(
      `HTTP on ${at} asks nobody and is not encrypted; it is reached by ${WHO[reach]}`,
      'start the store without --insecure: it then speaks TLS, and calyx token create lets machines in',
    ),
  ];
}

function nfs({ secured, nfs: served }: StoreDescription, own: readonly string[]): Verdict[] {
  if (served === null) return [note('NFS is not served')];
  const { address, allow, privilegedPorts, requireTls, requireClientCertificate } = served;
  const where = `NFS on ${address.host}:${address.port}`;
  const reach = reachOf(address.host, own);
  const all = allow.filter(coversAll);
  const verdicts: Verdict[] = [];
  if (all.length > 0 && !requireClientCertificate)
    verdicts.push(
      problem(
        `${where}: --allow ${all.join(', ')} lets every address mount; it is reached by ${WHO[reach]}`,
        'name the networks that should (--allow 10.0.0.0/24), or let in who has a certificate: --nfs-require-client-cert',
      ),
    );
  if (reach !== 'loopback' && !requireTls)
    verdicts.push(
      warning(
        `${where} is served without TLS too: whoever is on the way can read and change what is mounted`,
        'let nobody mount without TLS: --nfs-require-tls, on kernels from 6.5 on; or keep it to a network that you trust',
      ),
    );
  // A user of this machine comes from its own addresses, whatever else is allowed.
  if (secured && reach === 'loopback' && !privilegedPorts && !requireClientCertificate)
    verdicts.push(
      warning(
        `${where} asks nobody for a token, although HTTPS does: every user of this machine can read the models`,
        'serve none: --no-nfs; or only to root: --privileged-ports; or to who has a certificate: --nfs-require-client-cert',
      ),
    );
  if (verdicts.length > 0) return verdicts;
  const limit = requireClientCertificate
    ? 'with a certificate of the cluster'
    : requireTls
      ? 'with TLS'
      : 'without TLS too';
  return [ok(`${where}, ${limit}; it is reached by ${WHO[reach]}`)];
}

/** Half of all addresses are as many as all; those of IPv6 that are given out begin with three bits alone (2000::/3, RFC 4291). */
const ALL_IPV4 = 1;
const ALL_IPV6 = 3;

function coversAll(rule: string): boolean {
  const [, address = '', prefix] = /^([^/=]+)\/(\d{1,3})(?:=|$)/.exec(rule) ?? [];
  if (prefix === undefined) return false;
  return Number(prefix) <= (isIP(address) === 6 ? ALL_IPV6 : ALL_IPV4);
}
