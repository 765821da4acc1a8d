import { X509Certificate } from 'node:crypto';
import { ROLES, type Grant } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import { parseModelPattern } from '../../core/model-pattern.js';

/** Certificates of ours have less than 1500 bytes. */
const MAX_CERTIFICATE_BYTES = 16 * 1024;
const MAX_URI_LENGTH = 2048;

const SCHEME = 'calyx:';
const URI = /^calyx:\/\/grant\/([0-9a-f]{12})\?role=([a-z]+)&models=([^&]+)&name=([^&]*)$/;

// Node writes `TYPE:VALUE`, joined by ', '; a value that could be taken for more than one stands in quotes, as in JSON.
const ALTERNATIVE_NAME = /([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * The grant as a URI, which a certificate carries among its names: `calyx://grant/TOKENID?role=ROLE&models=PATTERN&name=NAME`.
 *
 * @throws CalyxError `usage` for a grant that could not be read back, such as one that comes from no token
 */
export function grantUri(grant: Grant): string {
  const uri = writeUri(grant);
  if (readUri(uri) !== undefined) return uri;
  throw new CalyxError('usage', 'a certificate cannot carry this grant', {
    hint: 'only the holder of a token can have one; its name and pattern of models must be short plain text',
  });
}

/**
 * Reads the grant back from a certificate of which TLS has proven that the cluster issued it. Whatever is not exactly as
 * {@link grantUri} writes it, or not there exactly once, gives undefined.
 *
 * @param der the certificate
 */
export function grantOfCertificate(der: Uint8Array): Grant | undefined {
  if (der.length > MAX_CERTIFICATE_BYTES) return undefined;
  let names: readonly string[] | undefined;
  try {
    names = uniformResourceIdentifiers(new X509Certificate(der).subjectAltName ?? '');
  } catch {
    return undefined;
  }
  const [uri, ...more] = names?.filter((name) => name.toLowerCase().startsWith(SCHEME)) ?? [];
  return uri === undefined || more.length > 0 ? undefined : readUri(uri);
}

function writeUri({ tokenId, role, models, name }: Grant): string {
  return `calyx://grant/${tokenId ?? ''}?role=${role}&models=${encode(models)}&name=${encode(name)}`;
}

/** Unlike encodeURIComponent it leaves no quote, so that Node never has a reason to quote the name. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll("'", '%27');
}

function readUri(uri: string): Grant | undefined {
  const [, tokenId, roleName, models, name] = uri.length > MAX_URI_LENGTH ? [] : (URI.exec(uri) ?? []);
  const role = ROLES.find((known) => known === roleName);
  if (tokenId === undefined || role === undefined || models === undefined || name === undefined)
    return undefined;
  try {
    const grant = { tokenId, role, models: decodeURIComponent(models), name: decodeURIComponent(name) };
    parseModelPattern(grant.models);
    // There is one way to write each grant.
    return writeUri(grant) === uri ? grant : undefined;
  } catch {
    return undefined;
  }
}

/** The names of type URI; undefined if the text is not a list of names. */
function uniformResourceIdentifiers(subjectAltName: string): readonly string[] | undefined {
  const found: string[] = [];
  for (ALTERNATIVE_NAME.lastIndex = 0; ALTERNATIVE_NAME.lastIndex < subjectAltName.length;) {
    const [, type, value] = ALTERNATIVE_NAME.exec(subjectAltName) ?? [];
    if (type === undefined || value === undefined) return undefined;
    if (type === 'URI') found.push(value.startsWith('"') ? String(JSON.parse(value)) : value);
  }
  return found;
}
