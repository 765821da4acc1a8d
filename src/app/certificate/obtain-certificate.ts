import type { Grant, StoreAccess } from '../../core/access.js';
import { createKey } from '../../cluster/identity/certificate-request.js';
import { CalyxError } from '../../core/errors.js';
import { StoreClient } from '../../protocols/http/store-client.js';
import { requestCertificate } from '../node/issued-certificate.js';
import { isSecured } from '../node/secured-access.js';
import { CertificateFiles } from './certificate-files.js';

/** What stores issue: see `/v1/certificates`. */
const SHORTEST_MS = 60 * 1000;
const LONGEST_MS = 24 * 3600 * 1000;

/** Options of {@link obtainCertificate}. */
export interface ObtainCertificateOptions {
  readonly access: StoreAccess;
  /** Where the files are to be, absolute; made if it is not there. */
  readonly directory: string;
  /** From a minute to a day; the certificate never lives longer than the token. */
  readonly lifetimeMs: number;
  readonly signal: AbortSignal;
}

/** A certificate that lies in files. */
export interface ObtainedCertificate {
  readonly files: CertificateFiles;
  /** What it says of its holder. */
  readonly grant: Grant;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/**
 * Obtains a certificate of the cluster that was joined, for other programs of this machine; where there is one, it is renewed.
 *
 * @throws CalyxError `usage` if no cluster was joined or for a lifetime that no store gives; `refused` if the files in the directory are not
 * ours to replace; `unauthenticated` for a token that is not good any more; `unavailable` if no store answers
 */
export async function obtainCertificate({
  access,
  directory,
  lifetimeMs,
  signal,
}: ObtainCertificateOptions): Promise<ObtainedCertificate> {
  if (!isSecured(access))
    throw new CalyxError('usage', 'there is no cluster to get a certificate of: none was joined', {
      hint: "run 'calyx join' with the line that 'calyx token create' printed on the store, as the same user",
    });
  if (lifetimeMs < SHORTEST_MS || lifetimeMs > LONGEST_MS)
    throw new CalyxError('usage', 'certificates live from 1m to 24h', {
      hint: 'choose a time within, and renew them: calyx certificate, run again, does it',
    });
  const { ca } = access.credential;
  const files = new CertificateFiles(directory);
  const stores = new StoreClient(access);
  try {
    for (;;) {
      const known = await files.readKey(ca);
      const key = known ?? (await createKey());
      const { tls, grant, expiresAt } = await requestCertificate(stores, ca, signal, { key, lifetimeMs });
      // Another process that made a key meanwhile was first: the certificate must be for that one.
      if (known === undefined && !(await files.keepKey(key))) continue;
      await files.replace(tls);
      return { files, grant, expiresAt };
    }
  } finally {
    await stores.close();
  }
}
