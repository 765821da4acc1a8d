import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';

/** How a server is called in a certificate. */
export interface CertificateName {
  readonly type: 'dns' | 'ip';
  readonly value: string;
}

const HOST_NAME = /^[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?$/;
/** What ends the name of a host in a URL. */
const NOT_IN_NAMES = /[/?#\\@:]/;
const MAX_LENGTH = 253;

/** A host name or an IP address as certificates hold it; undefined for what cannot stand in one. */
export function certificateName(text: string): CertificateName | undefined {
  // The zone of a link-local address is the client's own matter.
  const address = text.replace(/^\[|\]$/g, '').replace(/%.*$/, '');
  if (isIP(address) !== 0) return { type: 'ip', value: address };
  if (NOT_IN_NAMES.test(text)) return undefined;
  const value = domainToASCII(text).replace(/\.$/, '');
  return value.length <= MAX_LENGTH && HOST_NAME.test(value) ? { type: 'dns', value } : undefined;
}

/** Where the names end that mean something inside of a cluster: STORE_NAME, WRITER_NAME, NODE_NAME. */
const OWN_NAMES = '.calyx.internal';

/** True for a name that a cluster gives to its own alone. */
export function isOwnName(text: string): boolean {
  return certificateName(text)?.value.endsWith(OWN_NAMES) ?? false;
}

/** All of them that can stand in a certificate, each once, host names first. */
export function certificateNames(texts: readonly string[]): CertificateName[] {
  const names = texts.map(certificateName).filter((name) => name !== undefined);
  const unique = [...new Map(names.map((name) => [name.value, name])).values()];
  return [...unique.filter(({ type }) => type === 'dns'), ...unique.filter(({ type }) => type === 'ip')];
}
