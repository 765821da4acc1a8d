import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { suiteDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { noOpenssl, openssl } from '../../../test/support/openssl.js';
import { openIdentity } from './cluster-identity.js';
import { publicKeyOfRequest } from './public-key-of-request.js';

const DIRECTORY = suiteDirectory();

/** A request as the openssl command makes it. */
function request(...args: string[]): string {
  const made = openssl(
    DIRECTORY,
    'req',
    '-new',
    '-nodes',
    '-keyout',
    'key.pem',
    '-out',
    'request.pem',
    ...args,
  );
  if (!made.ok) throw new Error(made.text);
  return readFileSync(join(DIRECTORY, 'request.pem'), 'utf8');
}

function publicKey(): string {
  return openssl(DIRECTORY, 'pkey', '-in', 'key.pem', '-pubout').text;
}

const EC = ['-subj', '/CN=x', '-newkey', 'ec', '-pkeyopt'];
const RSA = ['-subj', '/CN=x', '-newkey'];

describe.skipIf(noOpenssl)('a request that openssl made', () => {
  it.each([
    ['P-256', [...EC, 'ec_paramgen_curve:P-256']],
    ['P-384', [...EC, 'ec_paramgen_curve:P-384']],
    ['P-256, signed with SHA-512', [...EC, 'ec_paramgen_curve:P-256', '-sha512']],
    ['Ed25519', ['-subj', '/CN=x', '-newkey', 'ed25519']],
    ['RSA of 2048 bits', [...RSA, 'rsa:2048']],
    ['RSA of 3072 bits, signed with SHA-384', [...RSA, 'rsa:3072', '-sha384']],
  ])('is accepted with %s', async (_, args) => {
    const key = await publicKeyOfRequest(request(...args));
    expect(key.export({ type: 'spki', format: 'pem' })).toBe(publicKey());
  });

  it.each([
    ['P-521', [...EC, 'ec_paramgen_curve:P-521']],
    ['secp256k1', [...EC, 'ec_paramgen_curve:secp256k1']],
    ['P-224', [...EC, 'ec_paramgen_curve:P-224']],
    ['RSA of 1024 bits', [...RSA, 'rsa:1024']],
    ['Ed448', ['-subj', '/CN=x', '-newkey', 'ed448']],
    ['RSA-PSS', [...RSA, 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048']],
  ])('is refused with %s', async (_, args) => {
    const made = request(...args);
    await expectError(() => publicKeyOfRequest(made), 'usage', 'its key is not');
  });

  it('counts for its key only: what it says of its holder is ignored', async () => {
    const extensions = [
      'basicConstraints=critical,CA:TRUE',
      'keyUsage=keyCertSign',
      'extendedKeyUsage=serverAuth',
    ];
    const names =
      'subjectAltName=DNS:store.calyx.internal,URI:calyx://grant/ffffffffffff?role=admin&models=*&name=x';
    const wishes = [...extensions, names].flatMap((wish) => ['-addext', wish]);
    const made = request(...EC, 'ec_paramgen_curve:P-256', '-subj', '/CN=store.calyx.internal', ...wishes);
    const identity = await openIdentity(join(DIRECTORY, 'cluster'));
    const grant = { tokenId: '0123456789ab', name: 'lab', role: 'read', models: '*' } as const;
    const { certificate } = await identity.issue(made, grant);
    const { ca, keyUsage, subject, subjectAltName, publicKey: key } = new X509Certificate(certificate);
    expect({ ca, keyUsage, subject, subjectAltName }).toEqual({
      ca: false,
      // Node calls the extended key usage so.
      keyUsage: ['1.3.6.1.5.5.7.3.2'],
      subject: 'CN=Calyx token 0123456789ab',
      subjectAltName: 'URI:calyx://grant/0123456789ab?role=read&models=*&name=lab',
    });
    expect(key.export({ type: 'spki', format: 'pem' })).toBe(publicKey());
  });

  it.each([
    ['P-256', [...EC, 'ec_paramgen_curve:P-256']],
    ['Ed25519', ['-subj', '/CN=x', '-newkey', 'ed25519']],
    ['RSA', [...RSA, 'rsa:2048']],
  ])('is refused if its signature is wrong (%s)', async (_, args) => {
    const der = bytesOf(request(...args));
    const last = der.length - 1;
    der[last] = (der[last] ?? 0) ^ 1;
    const damaged = pem(der);
    await expectError(() => publicKeyOfRequest(damaged), 'usage', 'its signature is wrong');
  });

  it('is refused with a key that its holder has not proven to have', async () => {
    const mine = bytesOf(request(...EC, 'ec_paramgen_curve:P-256'));
    const ownPoint = point(publicKey());
    const theirs = bytesOf(request(...EC, 'ec_paramgen_curve:P-256'));
    const at = mine.indexOf(ownPoint);
    point(publicKey()).copy(mine, at);
    expect(theirs.length).toBeGreaterThan(0);
    expect(at).toBeGreaterThan(0);
    await expectError(() => publicKeyOfRequest(pem(mine)), 'usage', 'its signature is wrong');
  });

  it('is refused if it is cut off, anywhere', async () => {
    const der = bytesOf(request(...EC, 'ec_paramgen_curve:P-256'));
    for (let length = 0; length < der.length; length += 1)
      await expectError(() => publicKeyOfRequest(pem(der.subarray(0, length))), 'usage', 'request');
  });
});

describe('what is no request', () => {
  it.each([
    ['nothing', ''],
    ['text', 'hello'],
    ['a certificate', '-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n'],
    ['an empty sequence', pem(Buffer.from('3000', 'hex'))],
    ['lengths that are not there', pem(Buffer.from('3084ffffffff', 'hex'))],
    ['nesting without end', pem(Buffer.alloc(4000, 0x30))],
    ['indefinite lengths', pem(Buffer.from('3080'.repeat(1500), 'hex'))],
    ['too much', pem(Buffer.alloc(100_000))],
  ])('is refused: %s', async (_, text) => {
    await expectError(() => publicKeyOfRequest(text), 'usage', 'request');
  });
});

function bytesOf(text: string): Buffer {
  return Buffer.from(text.replaceAll(/-----[^-]+-----/g, ''), 'base64');
}

function pem(der: Buffer): string {
  return `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
}

/** The point of a key on P-256: the last 65 bytes of its DER (RFC 5480, section 2.2). */
function point(publicKeyPem: string): Buffer {
  return bytesOf(publicKeyPem).subarray(-65);
}
