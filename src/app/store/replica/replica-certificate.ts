import { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import type { StoreLayout } from '../../../catalog/store-layout.js';
import { errorMessage, isCalyxError } from '../../../core/errors.js';
import type { StoreClient } from '../../../protocols/http/store-client.js';
import { CertificateRenewal, type Renewable } from '../../node/certificate-renewal.js';
import { firstContact } from '../../node/first-contact.js';
import { requestStoreCertificate } from '../../node/issued-certificate.js';
import { writeReplica, type ReplicaRecord } from './replica-file.js';

/** What {@link openReplicaCertificate} needs. */
export interface ReplicaCertificateOptions {
  readonly layout: StoreLayout;
  readonly stores: StoreClient;
  /** The certificate of the cluster. */
  readonly ca: string;
  /** Under which the replica is reached. */
  readonly names: readonly string[];
  /** What it had before. */
  readonly kept: ReplicaRecord | undefined;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Early, so that the writer may be away for long: two thirds of 30 days. */
const RENEWED_AT = { from: 0.3, to: 1 / 3 };

/**
 * Gets the certificate of a replica from the writer, or takes the one of before while that does not answer, and keeps it fresh: in memory
 * and on the disk.
 *
 * @throws CalyxError `refused` or `unauthenticated` for a token that is not one of role admin for all models; `unavailable` if the writer
 * does not answer and there is none of before, or that is over
 */
export async function openReplicaCertificate(
  options: ReplicaCertificateOptions,
): Promise<CertificateRenewal<Renewable>> {
  const { layout, stores, ca, names, kept, logger, signal } = options;
  const get = async (until: AbortSignal): Promise<Renewable> => {
    const issued = await requestStoreCertificate(stores, ca, names, until);
    const { key, certificate } = issued.tls;
    const urls = stores.clients.map(({ url }) => url);
    await writeReplica(layout, { version: 1, ca, stores: urls, key, certificate });
    return issued;
  };
  const first = await firstOf(get, renewableOf(kept), logger, signal);
  return new CertificateRenewal(first, get, RENEWED_AT, { logger });
}

async function firstOf(
  get: (signal: AbortSignal) => Promise<Renewable>,
  kept: Renewable | undefined,
  logger: Logger,
  signal: AbortSignal,
): Promise<Renewable> {
  if (kept === undefined) return firstContact(() => get(signal), { signal, logger });
  try {
    return await get(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!isCalyxError(error, 'unavailable', 'timeout', 'limited')) throw error;
    logger.warn(
      `no new certificate for this store, so the one of before is shown until ${new Date(kept.expiresAt).toISOString()}: ${errorMessage(error)}`,
    );
    return kept;
  }
}

/** That of before, if it is still good. */
function renewableOf(kept: ReplicaRecord | undefined): Renewable | undefined {
  if (kept === undefined) return undefined;
  const { key, certificate, ca } = kept;
  const expiresAt = Date.parse(new X509Certificate(certificate).validTo);
  return expiresAt > Date.now() ? { tls: { key, certificate, ca }, expiresAt } : undefined;
}
