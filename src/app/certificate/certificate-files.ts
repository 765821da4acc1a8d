import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { link, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { readPrivateFile, writePrivateFile } from '../../storage/files/private-file.js';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { syncDirectory, writeFileAtomically } from '../../storage/files/durable.js';
import { makeDirectories } from '../../storage/files/make-directories.js';

/** A chain of two has some 2 KiB. */
const MAX_BYTES = 64 * 1024;

const ELSEWHERE =
  'choose an empty directory, or remove what is in this one (key.pem, certificate.pem, ca.pem) if nobody needs it';

/**
 * A key, its certificate and that of the cluster, in a directory where other programs read them:
 *
 * - `key.pem` (0600) is made once and stays: all certificates are for it. So whatever a program reads first, key and certificate fit,
 *   also if a renewal happens between the two.
 * - `certificate.pem` (0644; the certificate and after it that of the cluster) is replaced as a whole with each renewal.
 * - `ca.pem` (0644) changes only when another cluster was joined. Then the certificate of the old one is removed first.
 *
 * `certificate.pem` is the last to come and the first to go: where it is, the others are, and fit, whenever the power is cut.
 */
export class CertificateFiles {
  readonly directory: string;
  readonly key: string;
  readonly certificate: string;
  readonly ca: string;

  constructor(directory: string) {
    this.directory = directory;
    [this.key, this.certificate, this.ca] = ['key.pem', 'certificate.pem', 'ca.pem'].map((name) =>
      join(directory, name),
    ) as [string, string, string];
  }

  /**
   * The key that is there, PEM; undefined if there is none yet.
   *
   * @param ca that of the cluster which is to certify it
   * @throws CalyxError `refused` if others may read it, or if the files are not ours to replace
   */
  async readKey(ca: string): Promise<string | undefined> {
    const pem = await readPrivateFile(this.key, MAX_BYTES);
    const [certificate, oldCa] = await Promise.all([readPublic(this.certificate), readPublic(this.ca)]);
    if (pem === undefined) {
      if (certificate !== undefined) throw notOurs(this.certificate, 'its key is not in key.pem beside it');
      if (oldCa !== undefined && oldCa !== ca) throw notOurs(this.ca, 'there is no key.pem beside it');
      return undefined;
    }
    const key = parseKey(pem);
    if (key === undefined) throw notOurs(this.key, 'it is no key (ECDSA P-256)');
    if (certificate !== undefined && !isOurs(certificate, key))
      throw notOurs(this.certificate, 'no store has issued it for key.pem beside it');
    return pem;
  }

  /** Keeps a key that was made, unless there is one by now; then it returns false. */
  async keepKey(pem: string): Promise<boolean> {
    await makeDirectories(this.directory);
    // Not renamed into place, which would replace the key of another process that began at the same time.
    const own = `${this.key}.${process.pid}.tmp`;
    try {
      await writePrivateFile(own, pem);
      await link(own, this.key);
      await syncDirectory(this.directory);
      return true;
    } catch (error) {
      if (systemCode(error) === 'EEXIST') return false;
      throw fileError(error, 'cannot write', this.key);
    } finally {
      await rm(own, { force: true });
    }
  }

  /** Replaces the certificate, which must be one for the key that is there. */
  async replace({ certificate, ca }: { readonly certificate: string; readonly ca: string }): Promise<void> {
    let at = this.certificate;
    try {
      if ((await readPublic(this.ca)) !== ca) {
        await rm(at, { force: true });
        await syncDirectory(this.directory);
        at = this.ca;
        await writeFileAtomically(at, ca, readableByAll);
      }
      at = this.certificate;
      await writeFileAtomically(at, certificate, readableByAll);
    } catch (error) {
      throw fileError(error, 'cannot write', at);
    }
  }
}

/** Whatever the umask: those who must know the cluster and show the certificate are other users. */
function readableByAll(file: { chmod(mode: number): Promise<void> }): Promise<void> {
  return file.chmod(0o644);
}

async function readPublic(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    const key = createPrivateKey(pem);
    return key.asymmetricKeyDetails?.namedCurve === 'prime256v1' ? key : undefined;
  } catch {
    return undefined;
  }
}

function isOurs(pem: string, key: KeyObject): boolean {
  try {
    const certificate = new X509Certificate(pem);
    return certificate.checkPrivateKey(key) && grantOfCertificate(certificate.raw) !== undefined;
  } catch {
    return false;
  }
}

function notOurs(path: string, why: string): CalyxError {
  return new CalyxError('refused', `${path} is not one of ours to replace: ${why}`, { hint: ELSEWHERE });
}
