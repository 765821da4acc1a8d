import { hostname, networkInterfaces } from 'node:os';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { AuditLog } from '../../cluster/audit/audit-log.js';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { openIdentity, type ClusterIdentity } from '../../cluster/identity/cluster-identity.js';
import { StoreDoorkeeper } from '../../cluster/tokens/store-doorkeeper.js';
import { signedStatements, type TokenStatements } from '../../cluster/tokens/token-statements.js';
import { TokenTable } from '../../cluster/tokens/token-table.js';
import type { TlsSettings } from '../../core/access.js';
import type { Decision } from '../../core/doorkeeper.js';
import { errorMessage, type CalyxError } from '../../core/errors.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { localTokenPath } from './owner-commands.js';
import { LocalTokenKeeper } from './local-token-keeper.js';
import { refuseReplica } from './replica/replica-file.js';

/** Certificates of a store live 90 days; a store that runs so long has a new one long before. */
const RENEW_MS = 30 * 24 * 3600 * 1000;
/** Longer timers than 2^31 ms do not exist. */
const CHECK_MS = 12 * 3600 * 1000;

/** What a store knows of who may come in. */
export interface StoreGate {
  readonly identity: ClusterIdentity;
  readonly table: TokenTable;
  /** What is said of the table to other stores and to nodes. */
  readonly statements: TokenStatements;
  readonly doorkeeper: StoreDoorkeeper;
  /** Key and certificate, those of now. */
  tls(): TlsSettings;
  /** Told of new ones, long before the old ones are over. */
  onRenewed(listener: (tls: TlsSettings) => void): void;
  /** Of a store without the key of the cluster. */
  readonly replica: ReplicaState | undefined;
  /** Undefined on a replica, where the token of the machine is one of the table that it follows. */
  readonly localToken?: LocalTokenKeeper;
  close(): Promise<void>;
}

/** What makes a replica one. */
export interface ReplicaState {
  /** The addresses of the stores to whose cluster it belongs. */
  readonly of: readonly string[];
  /** What to say to who asks for something that only the store with the key of the cluster does. */
  elsewhere(): CalyxError;
  /** For how long that store has not said what its tokens are. */
  tokensAgeSeconds(): number;
  /** Resolves with the reason when this store may not be one of the cluster any more; never otherwise. */
  readonly over: Promise<CalyxError>;
}

/** Where the tokens of a data directory are. */
export function tokenFile(layout: StoreLayout): string {
  return join(layout.cluster, 'tokens.json');
}

/** The token table of a data directory. */
export function openTokenTable(layout: StoreLayout, identity: ClusterIdentity): Promise<TokenTable> {
  return TokenTable.open(tokenFile(layout), { fingerprint: identity.fingerprint });
}

/**
 * Opens the identity, the tokens and the audit log of a data directory; what is not there is made. Only for who owns the directory.
 *
 * @param names by which clients reach this store, besides those that the machine knows of itself
 * @throws CalyxError `refused` for files that others may read and for the directory of a replica, `corrupt` for damaged ones
 */
export async function openGate(
  layout: StoreLayout,
  names: readonly string[],
  logger: Logger,
): Promise<StoreGate> {
  await refuseReplica(
    layout,
    `start it with --replica; or, to make a cluster of its own that nobody has joined yet, remove ${layout.cluster}`,
  );
  const identity = await openIdentity(layout.cluster);
  const table = await openTokenTable(layout, identity);
  const localToken = localTokenPath(layout);
  await table.ensureLocal(localToken);
  const keeper = new LocalTokenKeeper(table, localToken, logger);
  // A disk that is full keeps nobody from being served.
  await table.keepVersion().catch((error: unknown) => {
    logger.warn(
      `if the clock of this machine is set back, other stores and nodes will take what this one says of tokens for old: ${errorMessage(error)}`,
    );
  });
  const { doorkeeper, audit } = openDoorkeeper(layout, table, logger);
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
    statements: signedStatements(table, (kind, statement) => identity.sign(kind, statement)),
    doorkeeper,
    tls: () => tls,
    onRenewed: (listener) => listeners.push(listener),
    replica: undefined,
    localToken: keeper,
    close: async () => {
      clearInterval(timer);
      await keeper.kept();
      await table.close();
      await audit.close();
    },
  };
}

/** Who looks at what is shown at the doors of a store, and the log of what comes of it. */
export function openDoorkeeper(
  layout: StoreLayout,
  table: TokenTable,
  logger: Logger,
): { readonly doorkeeper: StoreDoorkeeper; readonly audit: AuditLog } {
  const audit = AuditLog.open(join(layout.cluster, 'audit.log'), { logger });
  const decided = (decision: Decision): void => audit.write(decision);
  return { doorkeeper: new StoreDoorkeeper({ table, grantOfCertificate, decided }), audit };
}

/** The names and addresses of this machine, by which tools that look at names may reach it. */
export function ownNames(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [hostname(), ...addresses.map(({ address }) => address.replace(/%.*$/, ''))];
}
