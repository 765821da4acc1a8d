import 'reflect-metadata';
import { createPublicKey, type KeyObject } from 'node:crypto';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { CalyxError } from '../../core/errors.js';

/** A request with the largest key that is taken has less than 4 KiB. */
const MAX_REQUEST_LENGTH = 8 * 1024;
const REQUEST =
  /^\s*-----BEGIN CERTIFICATE REQUEST-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE REQUEST-----\s*$/;

const CURVES: readonly (string | undefined)[] = ['prime256v1', 'secp384r1'];
const MIN_RSA_BITS = 2048;
/** Checking signatures of larger ones costs time that a stranger could ask for. */
const MAX_RSA_BITS = 8192;

/**
 * The public key of a request for a certificate (PKCS #10, PEM), whose holder has proven by its signature to have the private one.
 *
 * @throws CalyxError `usage`
 */
export async function publicKeyOfRequest(request: string): Promise<KeyObject> {
  if (request.length > MAX_REQUEST_LENGTH || !REQUEST.test(request))
    throw wrong('it is not one block of PEM, CERTIFICATE REQUEST');
  let parsed: Pkcs10CertificateRequest;
  let key: KeyObject;
  try {
    parsed = new Pkcs10CertificateRequest(request);
    const spki = Buffer.from(parsed.publicKey.rawData);
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (error) {
    throw wrong('it cannot be read', error);
  }
  if (!isStrong(key))
    throw wrong('its key is not ECDSA P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits');
  // Whatever makes the check fail, the proof is missing.
  if (!(await parsed.verify().catch(() => false))) throw wrong('its signature is wrong');
  return key;
}

function isStrong({ asymmetricKeyType, asymmetricKeyDetails: details = {} }: KeyObject): boolean {
  if (asymmetricKeyType === 'ed25519') return true;
  if (asymmetricKeyType === 'ec') return CURVES.includes(details.namedCurve);
  const { modulusLength = 0, publicExponent = 0n } = details;
  return (
    asymmetricKeyType === 'rsa' &&
    modulusLength >= MIN_RSA_BITS &&
    modulusLength <= MAX_RSA_BITS &&
    publicExponent >= 3n
  );
}

function wrong(problem: string, cause?: unknown): CalyxError {
  return new CalyxError('usage', `the request for a certificate cannot be granted: ${problem}`, {
    hint: 'make a new one with a key of ECDSA P-256',
    cause,
  });
}
