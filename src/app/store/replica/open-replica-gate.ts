import { stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { StoreLayout } from '../../../catalog/store-layout.js';
import { MAX_STORE_NAMES } from '../../../cluster/access-routes.js';
import { certificateNames } from '../../../cluster/identity/certificate-names.js';
import { TokenTable } from '../../../cluster/tokens/token-table.js';
import { CalyxError, fileError, systemCode } from '../../../core/errors.js';
import { certificateFingerprint } from '../../../core/fingerprint.js';
import { StoreClient } from '../../../protocols/http/store-client.js';
import type { SecuredAccess } from '../../node/secured-access.js';
import { openDoorkeeper, ownNames, tokenFile, type StoreGate } from '../store-gate.js';
import { TokenFollower } from './follow-tokens.js';
import { openReplicaCertificate } from './replica-certificate.js';
import { readReplica, refuseWriter } from './replica-file.js';
import { writerAccess } from './writer-access.js';

/** Options of {@link openReplicaGate}. */
export interface ReplicaGateOptions {
  readonly layout: StoreLayout;
  /** By which clients reach this store, besides those that the machine knows of itself. */
  readonly names: readonly string[];
  /** The cluster, with the addresses of its writer and perhaps of others, and a token of role admin for all models. */
  readonly access: SecuredAccess;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** How long a store may take to connect or to begin its answer. */
const TIMEOUT_MS = 5_000;

/**
 * The gate of a store without the key of the cluster: its certificate and its tokens come from the writer. Once it has had both, it also
 * opens while the writer does not answer. Only for who owns the directory.
 *
 * @throws CalyxError `refused` for a directory that has a cluster of its own or belongs to another one, or a token that is not one of role
 * admin for all models; `unauthenticated` for one that is not good; `unavailable` if the writer is needed and does not answer
 */
export async function openReplicaGate(options: ReplicaGateOptions): Promise<StoreGate> {
  const { layout, logger, signal } = options;
  const access = writerAccess(options.access);
  const { ca } = access.credential;
  const fingerprint = certificateFingerprint(ca);
  await refuseWriter(layout);
  const kept = await readReplica(layout);
  if (kept !== undefined && certificateFingerprint(kept.ca) !== fingerprint)
    throw new CalyxError('refused', `${layout.root} is the directory of a replica of another cluster`, {
      hint: `use another directory; or remove ${layout.cluster}, so that it becomes a replica of the cluster that was joined`,
    });
  // The last that was opened is the first that is closed.
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const stores = new StoreClient(access, { timeoutMs: TIMEOUT_MS });
    closers.push(() => stores.close());
    const names = certificateNames([...options.names, ...ownNames()]).map(({ value }) => value);
    const wanted = { layout, stores, ca, names: names.slice(0, MAX_STORE_NAMES), kept, logger, signal };
    const certificate = await openReplicaCertificate(wanted);
    closers.push(() => certificate.close());
    const file = tokenFile(layout);
    const toldAt = await changedAt(file);
    const elsewhere = (): CalyxError =>
      new CalyxError('unavailable', 'this store is a replica, which does not have the key of the cluster', {
        hint: `that is done at ${follower.writer}, where tokens are made and models are published`,
      });
    const table = await TokenTable.open(file, { fingerprint, elsewhere });
    closers.push(() => table.close());
    const follower = new TokenFollower({ access, table, logger, toldAt });
    closers.push(() => follower.stop());
    await follower.start(signal);
    const { doorkeeper, audit } = openDoorkeeper(layout, table, logger);
    closers.push(() => audit.close());
    const refuse = (): Promise<never> => Promise.reject(elsewhere());
    const refuseNow = (): never => {
      throw elsewhere();
    };
    return {
      identity: {
        ca,
        fingerprint,
        serverTls: refuse,
        issue: refuse,
        issueStore: refuse,
        signRef: refuseNow,
        sign: refuseNow,
      },
      table,
      // There is none if the table was kept by an older version, and the writer has not answered yet.
      statements: { tokens: refuseNow, denied: () => table.toldDenied ?? refuseNow() },
      doorkeeper,
      tls: () => certificate.current.tls,
      onRenewed: (listener) => void certificate.onRenewed(({ tls }) => listener(tls)),
      replica: {
        of: access.urls.map(({ origin }) => origin),
        elsewhere,
        tokensAgeSeconds: () => follower.ageSeconds,
        over: Promise.race([follower.over, certificate.over]),
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** When a file was last written, in milliseconds since 1970; undefined if it is not there. */
async function changedAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mtimeMs;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'cannot look at', path);
  }
}
