import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A key and the certificate for it, PEM. */
export interface TestCertificate {
  readonly key: string;
  readonly certificate: string;
}

/** A certificate authority whose certificates openssl makes: none of our own code is in them. */
export interface TestAuthority {
  /** PEM. */
  readonly ca: string;
  issue(subject: string, extensions: string): TestCertificate;
}

/** Makes one; takes a moment. */
export function testAuthority(name: string): TestAuthority {
  const directory = mkdtempSync(join(tmpdir(), 'calyx-pki-'));
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  const newKey = (file: string): void =>
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', file);
  try {
    newKey('ca.key');
    openssl('req', '-x509', '-new', '-key', 'ca.key', '-subj', `/CN=${name}`, '-days', '2', '-out', 'ca.pem');
    const caKey = readFileSync(join(directory, 'ca.key'), 'utf8');
    const ca = readFileSync(join(directory, 'ca.pem'), 'utf8');
    return { ca, issue: (subject, extensions) => issue({ ca, caKey, subject, extensions }) };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function issue(options: {
  readonly ca: string;
  readonly caKey: string;
  readonly subject: string;
  readonly extensions: string;
}): TestCertificate {
  const directory = mkdtempSync(join(tmpdir(), 'calyx-pki-'));
  const openssl = (...args: readonly string[]): void =>
    void execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  try {
    writeFileSync(join(directory, 'ca.key'), options.caKey);
    writeFileSync(join(directory, 'ca.pem'), options.ca);
    writeFileSync(join(directory, 'extensions'), options.extensions);
    openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', 'key');
    openssl('req', '-new', '-key', 'key', '-subj', `/CN=${options.subject}`, '-out', 'request');
    openssl(
      ...['x509', '-req', '-in', 'request', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-days', '1', '-extfile', 'extensions', '-out', 'certificate'],
    );
    const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
    return { key: read('key'), certificate: read('certificate') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** Extensions of a server's certificate, by whose name and address clients know it. */
export const SERVER_EXTENSIONS =
  'subjectAltName=DNS:store.calyx.internal,IP:127.0.0.1\nextendedKeyUsage=serverAuth';

/** Extensions of a client's certificate with a grant. */
export function clientExtensions(grant: string): string {
  return `subjectAltName=URI:${grant}\nextendedKeyUsage=clientAuth`;
}
