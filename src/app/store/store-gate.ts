import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AuditLog } from '../../cluster/audit/audit-log.js';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { openIdentity, type ClusterIdentity } from '../../cluster/identity/cluster-identity.js';
import { StoreDoorkeeper } from '../../cluster/tokens/store-doorkeeper.js';
import { TokenTable } from '../../cluster/tokens/token-table.js';
import type { TlsSettings } from '../../core/access.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { localTokenPath } from './owner-commands.js';

/** Certificates of a store live 90 days; a store that runs so long has a new one long before. */
const RENEW_MS = 30 * 24 * 3600 * 1000;
/** Longer timers than 2^31 ms do not exist. */
const CHECK_MS = 12 * 3600 * 1000;

/** What a store knows of who may come in. */
export interface StoreGate {
  readonly identity: ClusterIdentity;
  readonly table: TokenTable;
  readonly doorkeeper: StoreDoorkeeper;
  /** Key and certificate, those of now. */
  tls(): TlsSettings;
  /** Told of new ones, long before the old ones are over. */
  onRenewed(listener: (tls: TlsSettings) => void): void;
  close(): Promise<void>;
}

/** The token table of a data directory. */
export function openTokenTable(layout: StoreLayout, identity: ClusterIdentity): Promise<TokenTable> {
  return TokenTable.open(join(layout.cluster, 'tokens.json'), { fingerprint: identity.fingerprint });
}

/**
 * Opens the identity, the tokens and the audit log of a data directory; what is not there is made. Only for who owns the directory.
 *
 * @param names by which clients reach this store, besides those that the machine knows of itself
 * @throws CalyxError `refused` for files that others may read, `corrupt` for damaged ones
 */
export async function openGate(
  layout: StoreLayout,
  names: readonly string[],
  logger: Logger,
): Promise<StoreGate> {
  const identity = await openIdentity(layout.cluster);
  const table = await openTokenTable(layout, identity);
  await table.ensureLocal(localTokenPath(layout));
  const audit = AuditLog.open(join(layout.cluster, 'audit.log'), { logger });
  const doorkeeper = new StoreDoorkeeper({
    table,
    grantOfCertificate,
    decided: (decision) => audit.write(decision),
  });
  const issue = (): Promise<TlsSettings> => identity.serverTls([...names, ...ownNames()]);
  let tls = await issue();
  let issuedAt = Date.now();
  const listeners: ((tls: TlsSettings) => void)[] = [];
  const renew = async (): Promise<void> => {
    if (Date.now() - issuedAt < RENEW_MS) return;
    tls = await issue();
    issuedAt = Date.now();
    for (const listener of listeners) listener(tls);
  };
  const timer = setInterval(() => {
    renew().catch((error: unknown) =>
      logger.error({ err: error }, 'the certificate of this store could not be renewed'),
    );
  }, CHECK_MS).unref();
  return {
    identity,
    table,
    doorkeeper,
    tls: () => tls,
    onRenewed: (listener) => listeners.push(listener),
    close: async () => {
      clearInterval(timer);
      await table.close();
      await audit.close();
    },
  };
}

/** The names and addresses of this machine, by which tools that look at names may reach it. */
function ownNames(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [hostname(), ...addresses.map(({ address }) => address.replace(/%.*$/, ''))];
}
