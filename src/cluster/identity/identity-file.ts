import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto';
import { chmod } from 'node:fs/promises';
import { dirname } from 'node:path';
import { CalyxError, errorMessage, fileError } from '../../core/errors.js';
import { writeFileAtomically } from '../../storage/files/durable.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { readPrivateFile } from '../../storage/files/private-file.js';

/** The key of a cluster and its certificate. */
export interface KeyAndCertificate {
  readonly key: KeyObject;
  readonly certificate: X509Certificate;
}

/** Both take less than 2 KiB. */
const MAX_BYTES = 16 * 1024;

const BLOCK = /-----BEGIN ([A-Z ]+)-----[^-]*-----END \1-----/g;

/**
 * Reads the key and the certificate, which stand in one file so that there is never one without the other.
 *
 * @returns undefined if there is no such file
 * @throws CalyxError `refused` if somebody else may have read or written the file or its directory, `corrupt` if it is damaged or the two do
 * not belong together, `unreadable`
 */
export async function readIdentityFile(path: string): Promise<KeyAndCertificate | undefined> {
  const text = await readPrivateFile(path, MAX_BYTES, { directory: true });
  return text === undefined ? undefined : parseIdentity(path, text);
}

/** Writes the file, whole or not at all, for its owner's eyes only. */
export async function writeIdentityFile(path: string, keyPem: string, certificatePem: string): Promise<void> {
  try {
    await makeDirectories(dirname(path));
    await chmod(dirname(path), 0o700);
    await writeFileAtomically(path, `${keyPem}${certificatePem}`, (file) => file.chmod(0o600));
  } catch (error) {
    throw fileError(error, 'cannot keep the identity of the cluster,', path);
  }
}

/**
 * Reads what such a file holds.
 *
 * @param path names it in errors
 * @throws CalyxError `corrupt` if it is damaged or the two do not belong together
 */
export function parseIdentity(path: string, text: string): KeyAndCertificate {
  const blocks = new Map([...text.matchAll(BLOCK)].map(([block, label]) => [label, block]));
  const keyPem = blocks.get('PRIVATE KEY');
  const certificatePem = blocks.get('CERTIFICATE');
  if (keyPem === undefined || certificatePem === undefined)
    throw damaged(path, `the ${keyPem === undefined ? 'key' : 'certificate'} is missing`);
  let key: KeyObject;
  let certificate: X509Certificate;
  try {
    key = createPrivateKey(keyPem);
    certificate = new X509Certificate(certificatePem);
  } catch (error) {
    throw damaged(path, errorMessage(error), error);
  }
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw damaged(path, 'the key is not ECDSA P-256');
  if (!certificate.checkPrivateKey(key)) throw damaged(path, 'the key does not fit the certificate');
  if (!certificate.ca || !certificate.verify(certificate.publicKey))
    throw damaged(path, 'the certificate is not that of an authority that signed it itself');
  return { key, certificate };
}

function damaged(path: string, problem: string, cause?: unknown): CalyxError {
  return new CalyxError('corrupt', `the identity of the cluster, ${path}, is damaged: ${problem}`, {
    hint: 'restore it from a backup; or remove it: the store then makes a new one, and everybody has to join anew',
    cause,
  });
}
