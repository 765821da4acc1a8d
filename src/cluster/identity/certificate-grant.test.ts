import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { suiteDirectory } from '../../../test/support/directories.js';
import { noOpenssl, openssl } from '../../../test/support/openssl.js';
import type { Grant } from '../../core/access.js';
import { grantOfCertificate, grantUri } from './certificate-grant.js';

const GRANT: Grant = { tokenId: '0123456789ab', name: 'lab 2', role: 'node', models: 'acme/*' };
const GOOD = 'calyx://grant/0123456789ab?role=node&models=acme%2F*&name=lab%202';

const DIRECTORY = suiteDirectory();
openssl(DIRECTORY, 'ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'key.pem');

/** A certificate of openssl's with these alternative names, as its configuration writes them; with none for an empty list. */
function certificate(...names: string[]): Buffer {
  const list = names.map((name, index) => name.replace('.', `.${index} = `));
  const section = names.length === 0 ? '' : `subjectAltName = @names\n[names]\n${list.join('\n')}\n`;
  writeFileSync(join(DIRECTORY, 'openssl.cnf'), `[req]\ndistinguished_name = dn\n[dn]\n[x]\n${section}`);
  const subject = ['-subj', '/CN=x', '-config', 'openssl.cnf', '-extensions', 'x'];
  const made = openssl(
    DIRECTORY,
    'req',
    '-x509',
    '-key',
    'key.pem',
    ...subject,
    '-outform',
    'DER',
    '-out',
    'x.der',
  );
  if (!made.ok) throw new Error(made.text);
  return readFileSync(join(DIRECTORY, 'x.der'));
}

describe('the URI of a grant', () => {
  it.each([
    [GRANT, GOOD],
    [
      { ...GRANT, role: 'read', models: '*', name: '' },
      'calyx://grant/0123456789ab?role=read&models=*&name=',
    ],
    [
      { ...GRANT, role: 'admin', name: `a,'"&=#%ü` },
      'calyx://grant/0123456789ab?role=admin&models=acme%2F*&name=a%2C%27%22%26%3D%23%25%C3%BC',
    ],
  ] as const)('%j', (grant, uri) => {
    expect(grantUri(grant)).toBe(uri);
  });
});

describe.skipIf(noOpenssl)('the grant of a certificate that openssl made', () => {
  it.each([
    ['alone', [`URI.${GOOD}`]],
    ['after the name of a node', ['DNS.node.calyx.internal', `URI.${GOOD}`]],
    [
      'among others',
      ['IP.10.0.0.1', 'URI.https://example.org/a,b', `URI.${GOOD}`, 'email.a@b.org', 'RID.1.2.3'],
    ],
  ])('is read: %s', (_, names) => {
    expect(grantOfCertificate(certificate(...names))).toEqual(GRANT);
  });

  const uri = (from: string | RegExp, to: string): string[] => [`URI.${GOOD.replace(from, to)}`];
  it.each([
    ['no names', []],
    ['no URI', ['DNS.node.calyx.internal']],
    ['two', [`URI.${GOOD}`, `URI.${GOOD.replace('node', 'admin')}`]],
    ['the same twice', [`URI.${GOOD}`, `URI.${GOOD}`]],
    ['one more of another form', [`URI.${GOOD}`, 'URI.calyx:x']],
    ['one more in capitals', [`URI.${GOOD}`, `URI.${GOOD.replace('calyx', 'CALYX')}`]],
    ['it in a DNS name', [`DNS.a, URI:${GOOD}`]],
    ['it in an e-mail address', [`email.a@b.org, URI:${GOOD}`]],
    ['it in another URI', [`URI.https://a.org/, URI:${GOOD}`]],
    ['a quote before it', [`DNS.a", URI:${GOOD}, DNS:"b`]],
    ['an unknown role', uri('node', 'owner')],
    ['a role of Object', uri('node', 'constructor')],
    ['no role', uri('role=node&', '')],
    ['a role twice', uri('role=node&', 'role=node&role=admin&')],
    ['more than there should be', uri(/$/, '&role=admin')],
    ['a fragment', uri(/$/, '\\#x')],
    ['another host', uri('grant', 'grants')],
    ['a user', uri('//', '//a@')],
    ['an id in capitals', uri('ab?', 'AB?')],
    ['an id that is too short', uri('ab?', 'a?')],
    ['a pattern that is none', uri('acme%2F*', 'acme%2F%5B')],
    ['an empty pattern', uri('acme%2F*', '')],
    ['what need not be encoded, encoded', uri('lab', '%6cab')],
    ['small digits where others stand', uri('%2F', '%2f')],
    ['what must be encoded, not encoded', uri('%2F', '/')],
    ['a plus for a space', uri('%20', '+')],
    ['half an escape', uri('%202', '%2')],
    ['escapes that are no UTF-8', uri('%20', '%ff')],
    ['a name that is too long', uri('lab', 'l'.repeat(3000))],
  ])('is none: %s', (_, names) => {
    const der = certificate(...names);
    expect(new X509Certificate(der).subject).toBe('CN=x');
    expect(grantOfCertificate(der)).toBeUndefined();
  });

  it('is never read from bytes that are no certificate, which do no harm', () => {
    const good = certificate(`URI.${GOOD}`);
    expect(grantOfCertificate(new Uint8Array())).toBeUndefined();
    for (let length = 0; length < good.length; length += 1)
      expect(grantOfCertificate(good.subarray(0, length))).toBeUndefined();
    expect(grantOfCertificate(Buffer.concat([good, Buffer.alloc(20_000)]))).toBeUndefined();
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(good);
        bytes[at] = (bytes[at] ?? 0) ^ change;
        // It may still be the one that it was, or the like; it must not throw.
        grantOfCertificate(bytes);
      }),
      { numRuns: 2000 },
    );
  });
});
