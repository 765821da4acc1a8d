import { X509Certificate, createPrivateKey } from 'node:crypto';
import { chmodSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { suiteDirectory, testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { noOpenssl, openssl } from '../../../test/support/openssl.js';
import { NODE_NAME, STORE_NAME, WRITER_NAME, type Grant, type Role } from '../../core/access.js';
import { certificateFingerprint } from '../../core/fingerprint.js';
import { verifyStatement } from '../../core/signed-statement.js';
import { verifyRef } from '../../core/verify-ref.js';
import { createCertificateRequest } from './certificate-request.js';
import { identityFile, openIdentity } from './cluster-identity.js';

const DIRECTORY = suiteDirectory();
const HOME = join(DIRECTORY, 'cluster');
const HOUR_MS = 60 * 60 * 1000;
const DAY_MS = 24 * HOUR_MS;

const identity = await openIdentity(HOME);
writeFileSync(join(DIRECTORY, 'ca.pem'), identity.ca);

function grant(role: Role, changes: Partial<Grant> = {}): Grant {
  return { tokenId: '0123456789ab', name: 'lab', role, models: 'acme/*', ...changes };
}

async function issued(role: Role, name = `${role}.pem`): Promise<X509Certificate> {
  const { request } = await createCertificateRequest();
  const { certificate } = await identity.issue(request, grant(role));
  writeFileSync(join(DIRECTORY, name), certificate);
  return new X509Certificate(certificate);
}

/** What `openssl verify` thinks of a certificate, as strict as it can be. */
function verify(file: string, purpose: string, ...more: string[]): { ok: boolean; text: string } {
  const flags = ['-x509_strict', '-check_ss_sig', '-CAfile', 'ca.pem', '-purpose', purpose, ...more];
  return openssl(DIRECTORY, 'verify', ...flags, file);
}

describe.skipIf(noOpenssl)('as the openssl command sees it, the authority', () => {
  it('may issue certificates but no authorities, and does not end', () => {
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'ca.pem', '-noout', '-text');
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0\n/);
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign\n/);
    expect(text).toContain('NIST CURVE: P-256');
    expect(text).toContain('Not After : Dec 31 23:59:59 9999 GMT');
  });

  it('has the fingerprint that is told', () => {
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'ca.pem', '-noout', '-fingerprint', '-sha256');
    const hex = text.replace(/^.*=/, '').replaceAll(':', '').trim();
    expect(identity.fingerprint).toBe(Buffer.from(hex, 'hex').toString('base64url'));
    expect(certificateFingerprint(identity.ca)).toBe(identity.fingerprint);
  });

  it('signs refs', () => {
    const statement = {
      model: 'acme/rose',
      ref: 'main',
      revision: 'a'.repeat(40),
      manifest: 'b'.repeat(64),
      generation: 7,
    };
    const text = `calyx ref 1\nacme/rose\nmain\n${'a'.repeat(40)}\n${'b'.repeat(64)}\n7\n`;
    const signature = identity.signRef(statement);
    writeFileSync(join(DIRECTORY, 'ref.txt'), text);
    writeFileSync(join(DIRECTORY, 'ref.sig'), Buffer.from(signature, 'base64url'));
    writeFileSync(
      join(DIRECTORY, 'ca.pub'),
      openssl(DIRECTORY, 'x509', '-in', 'ca.pem', '-noout', '-pubkey').text,
    );
    const args = ['dgst', '-sha256', '-verify', 'ca.pub', '-signature', 'ref.sig', 'ref.txt'];
    expect(openssl(DIRECTORY, ...args)).toEqual({ ok: true, text: 'Verified OK\n' });
    expect(verifyRef(statement, signature, identity.ca)).toBe(true);
  });
});

describe.skipIf(noOpenssl)('as the openssl command sees it, what is said of the tokens', () => {
  it.each(['tokens', 'denied'] as const)('(%s) is signed, and is nothing else', (kind) => {
    const said = identity.sign(kind, '{"version":7}');
    writeFileSync(join(DIRECTORY, 'said.txt'), `calyx ${kind} 1\n{"version":7}`);
    writeFileSync(join(DIRECTORY, 'said.sig'), Buffer.from(said.signature, 'base64url'));
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'ca.pem', '-noout', '-pubkey');
    writeFileSync(join(DIRECTORY, 'ca.pub'), text);
    const args = ['dgst', '-sha256', '-verify', 'ca.pub', '-signature', 'said.sig', 'said.txt'];
    expect(openssl(DIRECTORY, ...args)).toEqual({ ok: true, text: 'Verified OK\n' });
    expect(verifyStatement(kind, said, identity.ca)).toBe(true);
    expect(verifyStatement(kind, { ...said, statement: '{"version":8}' }, identity.ca)).toBe(false);
    expect(verifyStatement(kind === 'tokens' ? 'denied' : 'tokens', said, identity.ca)).toBe(false);
  });
});

describe.skipIf(noOpenssl)('as the openssl command sees it, the certificate', () => {
  it('of a store serves under its names and addresses, and is no client', async () => {
    const names = [
      'Big.Example.',
      '10.1.2.3',
      '[2001:db8::1]',
      'fe80::1%eth0',
      'no name',
      '*.wild',
      '',
      'big.example',
    ];
    const tls = await identity.serverTls(names);
    writeFileSync(join(DIRECTORY, 'server.pem'), tls.certificate);
    expect(tls.ca).toBe(identity.ca);
    expect(tls.certificate.endsWith(identity.ca)).toBe(true);
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'server.pem', '-noout', '-ext', 'subjectAltName');
    expect(text.split('\n')[1]?.trim()).toBe(
      `DNS:${STORE_NAME}, DNS:localhost, DNS:${WRITER_NAME}, DNS:big.example, IP Address:10.1.2.3, ` +
        'IP Address:2001:DB8:0:0:0:0:0:1, IP Address:FE80:0:0:0:0:0:0:1',
    );
    expect(verify('server.pem', 'sslserver')).toMatchObject({ ok: true });
    for (const name of [STORE_NAME, 'localhost', 'big.example'])
      expect(verify('server.pem', 'sslserver', '-verify_hostname', name)).toMatchObject({ ok: true });
    for (const address of ['10.1.2.3', '2001:db8::1'])
      expect(verify('server.pem', 'sslserver', '-verify_ip', address)).toMatchObject({ ok: true });
    expect(verify('server.pem', 'sslserver', '-verify_hostname', NODE_NAME).ok).toBe(false);
    expect(verify('server.pem', 'sslserver', '-verify_ip', '10.1.2.4').ok).toBe(false);
    expect(verify('server.pem', 'sslclient').text).toMatch(/(?:unsuitable|unsupported) certificate purpose/);
  });

  it('of another store is like its own but for the name of the writer, for a key that stays there', async () => {
    const { key, request } = await createCertificateRequest();
    const lifetimeMs = 30 * DAY_MS;
    const from = Date.now();
    const { certificate, expiresAt } = await identity.issueStore(
      request,
      ['big.example', '10.1.2.3', WRITER_NAME, `${WRITER_NAME.toUpperCase()}.`, NODE_NAME],
      lifetimeMs,
    );
    writeFileSync(join(DIRECTORY, 'replica.pem'), certificate);
    expect(new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(certificate.endsWith(identity.ca)).toBe(true);
    expect(Math.abs(expiresAt - from - lifetimeMs)).toBeLessThan(60_000);
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'replica.pem', '-noout', '-text');
    expect(text).toContain(`DNS:${STORE_NAME}, DNS:localhost, DNS:big.example, IP Address:10.1.2.3\n`);
    expect(text).toMatch(/Extended Key Usage: \n\s+TLS Web Server Authentication\n/);
    expect(text).toContain('CA:FALSE');
    expect(text).not.toContain('calyx://grant');
    expect(verify('replica.pem', 'sslserver', '-verify_hostname', STORE_NAME)).toMatchObject({ ok: true });
    expect(verify('replica.pem', 'sslserver', '-verify_hostname', WRITER_NAME).ok).toBe(false);
    expect(verify('replica.pem', 'sslclient').text).toMatch(/(?:unsuitable|unsupported) certificate purpose/);
    await expectError(() => identity.issueStore('none', [], lifetimeMs), 'usage');
  });

  it('of a reader is that of a client only', async () => {
    await issued('read');
    expect(verify('read.pem', 'sslclient')).toMatchObject({ ok: true });
    expect(verify('read.pem', 'sslserver').text).toMatch(/(?:unsuitable|unsupported) certificate purpose/);
    const { text } = openssl(DIRECTORY, 'x509', '-in', 'read.pem', '-noout', '-ext', 'subjectAltName');
    expect(text).toMatch(/^\s+URI:calyx:\/\/grant\/0123456789ab\?role=read&models=acme%2F\*&name=lab$/m);
    expect(text).not.toContain('DNS:');
  });

  it.each(['node', 'admin'] as const)('of role %s serves as a node, and never as a store', async (role) => {
    await issued(role);
    const file = `${role}.pem`;
    expect(verify(file, 'sslclient')).toMatchObject({ ok: true });
    expect(verify(file, 'sslserver', '-verify_hostname', NODE_NAME)).toMatchObject({ ok: true });
    expect(verify(file, 'sslserver', '-verify_hostname', STORE_NAME).ok).toBe(false);
  });

  it('of another cluster is not of this one', async () => {
    const other = await openIdentity(join(testDirectory(), 'cluster'));
    writeFileSync(join(DIRECTORY, 'other.pem'), (await other.serverTls([])).certificate);
    expect(verify('other.pem', 'sslserver').ok).toBe(false);
    expect(other.fingerprint).not.toBe(identity.fingerprint);
  });
});

describe('a certificate', () => {
  it('begins five minutes ago and ends after the time that was asked for, one hour if none was', async () => {
    const at = Date.parse('2031-05-06T07:08:09.500Z');
    const then = await openIdentity(HOME, { now: () => at });
    const { request } = await createCertificateRequest();
    const times = async (lifetimeMs?: number): Promise<unknown> => {
      const { certificate, expiresAt } = await then.issue(request, grant('read'), lifetimeMs);
      const { validFrom, validTo } = new X509Certificate(certificate);
      expect(Date.parse(validTo)).toBe(expiresAt);
      return [new Date(validFrom).toISOString(), new Date(validTo).toISOString()];
    };
    expect(await times()).toEqual(['2031-05-06T07:03:09.000Z', '2031-05-06T08:08:09.000Z']);
    expect(await times(60_000)).toEqual(['2031-05-06T07:03:09.000Z', '2031-05-06T07:09:09.000Z']);
    expect(await times(1000 * DAY_MS)).toEqual(['2031-05-06T07:03:09.000Z', '2031-08-04T07:03:09.000Z']);
    const server = new X509Certificate((await then.serverTls([])).certificate);
    expect(new Date(server.validTo).toISOString()).toBe('2031-08-04T07:03:09.000Z');
  });

  it('has a serial number of its own, of at least 128 bits', async () => {
    const numbers = await Promise.all([1, 2, 3, 4].map(async () => (await issued('read')).serialNumber));
    expect(new Set(numbers).size).toBe(4);
    for (const number of numbers) expect(number).toMatch(/^[4-7][0-9A-F]{33}$/);
  });

  it.each([
    ['comes from no token', { tokenId: undefined }],
    ['has an id that is none', { tokenId: 'x&role=admin' }],
    ['has a pattern that is none', { models: 'acme/*&role=admin' }],
    ['has a name that is too long', { name: 'n'.repeat(3000) }],
  ])('is not issued for a grant that %s', async (_, changes) => {
    const { request } = await createCertificateRequest();
    await expectError(() => identity.issue(request, grant('read', changes)), 'usage', 'grant');
  });
});

describe('the file of an identity', () => {
  const file = identityFile(HOME);

  it('is for its owner alone, and so is the directory', () => {
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600');
    expect((statSync(HOME).mode & 0o777).toString(8)).toBe('700');
    expect(readdirSync(HOME)).toEqual(['identity.pem']);
  });

  it('gives the same identity again', async () => {
    const again = await openIdentity(HOME);
    expect(again.ca).toBe(identity.ca);
    const statement = { model: 'a/b', ref: 'main', revision: 'c', manifest: 'd', generation: 1 };
    expect(verifyRef(statement, again.signRef(statement), identity.ca)).toBe(true);
  });

  it('is made in a directory that was open before', async () => {
    const directory = testDirectory();
    chmodSync(directory, 0o755);
    await openIdentity(directory);
    expect((statSync(directory).mode & 0o777).toString(8)).toBe('700');
  });

  it.each([0o640, 0o604, 0o660, 0o601])('is refused if others may use it (%o)', async (mode) => {
    const directory = copy();
    chmodSync(identityFile(directory), mode);
    const says = [identityFile(directory), mode.toString(8), 'chmod 600'];
    await expectError(() => openIdentity(directory), 'refused', ...says);
  });

  it('is refused if others may use its directory', async () => {
    const directory = copy();
    chmodSync(directory, 0o750);
    await expectError(() => openIdentity(directory), 'refused', directory, 'chmod 700');
  });

  const text = readFileSync(file, 'utf8');
  it.each([
    ['is empty', ''],
    ['has no certificate', text.slice(0, text.indexOf('-----BEGIN CERTIFICATE'))],
    ['has no key', identity.ca],
    ['is cut off', text.slice(0, text.length / 2)],
    ['is too large', text + ' '.repeat(100_000)],
    ['has another certificate than its key', text.replace(/-----BEGIN CERT[^]*/, '') + 'OTHER'],
    ['has a certificate of no authority', text.replace(/-----BEGIN CERT[^]*/, '') + 'LEAF'],
    ['is not text', '\u0000\u0001'],
    ['has a damaged key', text.replace(/(PRIVATE KEY-----\n.{20})...../, '$1AAAAA')],
    ['has a damaged certificate', text.replace(/(N CERTIFICATE-----\n[^]{300})...../, '$1AAAAA')],
  ])('is refused if it %s', async (_, content) => {
    const directory = copy();
    const other = await openIdentity(join(testDirectory(), 'cluster'));
    const { key, certificate } = await identity.serverTls([]);
    const leaf = certificate.slice(0, certificate.indexOf('-----END') + 26);
    const damaged = content.endsWith('LEAF') ? key + leaf : content.replace('OTHER', other.ca);
    writeFileSync(identityFile(directory), damaged);
    const code = damaged.length > 50_000 ? 'unreadable' : 'corrupt';
    await expectError(() => openIdentity(directory), code, identityFile(directory), 'backup');
    // What is there is never replaced: it may be all that is left of the identity.
    expect(readFileSync(identityFile(directory), 'utf8')).toBe(damaged);
  });

  function copy(): string {
    const directory = testDirectory();
    writeFileSync(identityFile(directory), text, { mode: 0o600 });
    return directory;
  }
});
