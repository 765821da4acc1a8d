import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { BundledBlobs } from '../../catalog/bundles/bundled-blobs.js';
import { convertToChunks } from '../../catalog/bundles/convert-to-chunks.js';
import { CachedCatalog } from '../../catalog/cached-catalog.js';
import { DiskCatalog, FirstOf } from '../../catalog/catalog-reader.js';
import {
  checkContentLayout,
  readContentLayout,
  writeContentLayout,
  type ContentLayout,
} from '../../catalog/content-layout.js';
import { OriginIndex } from '../../catalog/origin/origin-index.js';
import { repairHubRefs } from '../../catalog/publish.js';
import { checkRefs, signRefs, type SignRef } from '../../catalog/sign-refs.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { accessRoutes } from '../../cluster/access-routes.js';
import { NodeRegistry } from '../../cluster/node-registry.js';
import { nodeRoutes } from '../../cluster/node-routes.js';
import type { Grant } from '../../core/access.js';
import { CalyxError, fileError, isCalyxError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { catalogRoutes } from '../../protocols/http/catalog-routes.js';
import { contentRoutes } from '../../protocols/http/content-routes.js';
import {
  createHttpServer,
  listen,
  replaceCertificate,
  type ListenAddress,
} from '../../protocols/http/create-server.js';
import { FailureLog } from '../../protocols/http/failure-log.js';
import { FairShare } from '../../protocols/http/fair-share.js';
import { isLoopback } from '../../protocols/http/guard.js';
import { healthRoutes } from '../../protocols/http/health-routes.js';
import type { ReadContent } from '../../protocols/http/send-file.js';
import { hubRoutes } from '../../protocols/http/hub/hub-routes.js';
import { BufferPool } from '../../storage/buffer-pool.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { CoalesceLayer } from '../../storage/layers/coalesce.js';
import { MeterLayer } from '../../storage/layers/meter.js';
import { RouteLayer } from '../../storage/layers/route.js';
import { BundleSource } from '../../storage/sources/bundle-source.js';
import { DirectorySource } from '../../storage/sources/directory-source.js';
import type { SecuredAccess } from '../node/secured-access.js';
import { liesInOrigin, warnWithoutOrigin } from '../origin/lies-in-origin.js';
import { openOrigin, type Origin, type OriginConfig } from '../origin/open-origin.js';
import { oneAtATime, ownManager, managerOperations, type StoreManager } from './manage.js';
import { managementDoor, type Management } from './management-door.js';
import { managementRoutes } from './management-routes.js';
import { revisionRoutes } from './revision-routes.js';
import { StoreUsage } from './store-usage.js';
import { summarizeRevisions } from './revision-summary.js';
import { ModelViews } from './model-views.js';
import { reachableHost } from './reachable-host.js';
import { CALYX_VERSION } from '../version.js';
import { describeOperation } from './describe-store.js';
import { describeOrigin } from '../origin/describe-origin.js';
import { openReplicaGate } from './replica/open-replica-gate.js';
import { openGate, type ReplicaState, type StoreGate } from './store-gate.js';
import { storeMetrics } from './store-metrics.js';
import { tokenOperations } from './token-commands.js';
import { checkNfsConfig, serveNfs, type NfsConfig, type RunningNfs } from './nfs/serve-nfs.js';

/** Configuration of a store. */
export interface StoreConfig {
  readonly dataDirectory: string;
  readonly listen: ListenAddress;
  /** Speaks TLS and asks for tokens on loopback too. */
  readonly tls: boolean;
  /** Speaks plain HTTP and asks nobody, also where strangers can reach it. */
  readonly insecure: boolean;
  readonly hostNames: readonly string[];
  /** Whether and how it is served by NFS. */
  readonly nfs: NfsConfig | undefined;
  /** Goes on without NFS if its port is taken: for a port that nobody has asked for. */
  readonly nfsOptional?: boolean;
  /** Makes it a replica: a store of this cluster, whose token must be one of role admin for all models. */
  readonly replicaOf?: SecuredAccess | undefined;
  /** How the data directory is to keep content. @default as it does, which is as files if nothing was said before */
  readonly contentLayout?: ContentLayout | undefined;
  /** Object storage in which models lie that are not in the data directory. */
  readonly origin?: OriginConfig | undefined;
  readonly logger: Logger;
  /** Ends a start that has to wait for others. */
  readonly signal?: AbortSignal | undefined;
}

/** A store that serves. */
export interface RunningStore {
  readonly url: string;
  /** The address that it listens on; of `0.0.0.0` and `::` the URL names one of many. */
  readonly host: string;
  /** True if other machines can reach it. */
  readonly beyondLoopback: boolean;
  /** True if it speaks TLS and asks for tokens. */
  readonly secured: boolean;
  /** Of the certificate of the cluster, base64url. */
  readonly fingerprint: string;
  /** Where NFS is served. */
  readonly nfs: ListenAddress | undefined;
  /** Why NFS is not served although it could be. */
  readonly nfsProblem: CalyxError | undefined;
  /** The addresses of the stores of which it is a replica. */
  readonly replicaOf: readonly string[] | undefined;
  /** Resolves with the reason if it may not be a store of its cluster any more; never otherwise. It is then to be closed. */
  readonly over: Promise<CalyxError>;
  /** Stops listening and gives the directory free. */
  close(): Promise<void>;
}

const MIB = 1024 * 1024;

/**
 * Buffers for all answers together: as much as the most clients of HTTP that are let in can hold (see FairShare), and the replies
 * that NFS lets be in flight, with room for buffers that are larger than what they hold.
 */
const POOL_BYTES = 128 * MIB + 80 * MIB;

/** With object storage: what is on its way from there, and waits to be written to the cache. */
const ORIGIN_POOL_BYTES = 96 * MIB;

/**
 * Starts a store on a data directory.
 *
 * @throws CalyxError `usage` for settings that contradict each other, `refused` for files that others may read, `busy` if the
 * directory or the port is taken
 */
export async function runStore(config: StoreConfig): Promise<RunningStore> {
  const secured = isSecured(config);
  if (config.nfs !== undefined) checkNfsConfig(config.nfs);
  const layout = new StoreLayout(resolve(config.dataDirectory));
  const index = new OriginIndex();
  const bundled = new BundledBlobs(layout);
  const catalog = new DiskCatalog(layout, new FirstOf(bundled, index));
  const hasOrigin = config.origin !== undefined;
  const pool = new BufferPool({ budgetBytes: POOL_BYTES + (hasOrigin ? ORIGIN_POOL_BYTES : 0) });
  const directory = new DirectorySource(layout.root, (blob) => catalog.locate(blob), pool);
  const bundles = new BundleSource(
    layout.root,
    (blob) => bundled.runs(blob),
    (id) => layout.bundle(id),
    pool,
  );
  const meter = new MeterLayer(new RouteLayer(bundles, (blob) => bundled.has(blob), directory));
  const management = new Later<Management>();
  const ownership = await acquireOwnership(layout.owners, {
    description: `calyx store (process ${process.pid})`,
    handler: managementDoor(management.promise),
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', layout.root);
  });
  // What was opened, in the order in which it is closed.
  const closers: (() => Promise<void>)[] = [() => ownership.release()];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0)) await closer();
  };
  try {
    await bringToLayout(config, layout, catalog);
    await bundled.refresh(catalog);
    const origin = await originOf(config, { layout, catalog, index, pool, logger: config.logger });
    const source = new CoalesceLayer(
      origin === undefined ? meter : new RouteLayer(origin.source, (blob) => origin.has(blob), meter),
    );
    closers.unshift(() => source.close());
    if (origin !== undefined) closers.unshift(() => origin.close());
    const gate = await openGateFor(config, layout);
    const { replica } = gate;
    closers.splice(closers.length - 1, 0, () => gate.close());
    await putRefsRight(layout, catalog, gate, config.logger);
    // The files of blobs stay open: one that was removed would keep its space, one that was repaired would stay damaged.
    const shown = new CachedCatalog(catalog);
    const registry = new NodeRegistry();
    const usage = await StoreUsage.load(layout, registry);
    const { allUsersOf } = usage;
    closers.splice(1, 0, () => usage.close().catch(() => undefined));
    usage.keepSaving((error) => config.logger.error({ err: error }, 'who reads could not be written down'));
    const inTurn = oneAtATime(() => shown.invalidate());
    const sign: SignRef = (statement) => gate.identity.signRef(statement);
    const manager = replica
      ? noManager(replica, (model) => summarizeRevisions(layout, catalog, model, allUsersOf))
      : ownManager(layout, catalog, {
          inTurn,
          mayRemove: (model) => checkNotInOrigin(origin, layout, catalog, model),
          onReplaced: async (blob) => {
            await directory.forget(blob);
            await bundles.forget(blob);
            await origin?.look(blob);
          },
          bundled,
          onChanged: () => shown.invalidate(),
          usersOf: (model) => usage.nfs.usersOf(model),
          allUsersOf,
          sign,
        });
    if (origin === undefined) await warnWithoutOrigin(layout, catalog, config.logger);
    else await origin.follow({ inTurn, sign });
    const { doorkeeper, table, statements, identity } = gate;
    const server = createHttpServer({
      logger: config.logger,
      hostNames: config.hostNames,
      ...(secured && { tls: gate.tls() }),
      requireToken: secured,
      doorkeeper,
      door: 'http',
    });
    table.onRevoked((id) => registry.removeOf(id));
    const nfsReads = new MeterLayer(source);
    let nfs: RunningNfs | undefined;
    const { metrics, blobBytesSent } = storeMetrics({
      disk: meter,
      nfsReads,
      registry,
      nfsLoad: () => nfs?.load(),
      tokensAgeSeconds: replica && (() => replica.tokensAgeSeconds()),
      origin,
    });
    const views = new ModelViews(catalog);
    const content = {
      source,
      view: (grant: Grant) => views.of(grant),
      share: new FairShare(),
      onSent: (bytes: number) => blobBytesSent.inc(bytes),
      reading: (what: ReadContent, by: string) => usage.startReading(what, by),
      onCutOff: (url: string, error: unknown) =>
        config.logger.error({ err: error, url }, 'an answer was cut off'),
    };
    contentRoutes(server, content);
    hubRoutes(server, { ...content, failures: new FailureLog(config.logger) });
    catalogRoutes(server, (grant) => views.of(grant).catalog);
    nodeRoutes(server, registry);
    accessRoutes(server, {
      table,
      statements,
      fingerprint: identity.fingerprint,
      issue: (request, grant, lifetimeMs) => identity.issue(request, grant, lifetimeMs),
      issueStore: (request, names, lifetimeMs) => identity.issueStore(request, names, lifetimeMs),
      decided: (decision) => doorkeeper.decided(decision),
    });
    managementRoutes(server, manager, (decision) => doorkeeper.decided(decision));
    revisionRoutes(server, manager, (decision) => doorkeeper.decided(decision));
    healthRoutes(server, metrics);
    server.get('/v1/status', { config: { access: 'read' } }, async () => {
      const sent = await blobBytesSent.get();
      return {
        version: CALYX_VERSION,
        blobBytesSent: sent.values[0]?.value ?? 0,
        nodes: registry.list().length,
        nfsConnections: nfs?.load().connections ?? 0,
        ...(origin !== undefined && { origin: describeOrigin(origin) }),
      };
    });
    const url = await listen(server, config.listen);
    closers.unshift(() => server.close());
    if (secured) gate.onRenewed((tls) => replaceCertificate(server, tls));
    let nfsProblem: CalyxError | undefined;
    if (config.nfs !== undefined) {
      try {
        const parts = { catalog: shown, source: nfsReads, usage: usage.nfs, logger: config.logger };
        nfs = await serveNfs(config.nfs, { ...parts, tls: () => gate.tls(), doorkeeper });
      } catch (error) {
        if (config.nfsOptional !== true || !isCalyxError(error, 'busy')) throw error;
        nfsProblem = error;
      }
    }
    const running = nfs;
    if (running !== undefined) closers.unshift(() => running.close());
    // Not the host of the URL, in which all addresses of the machine are one of loopback.
    const { host } = config.listen;
    const { port } = new URL(url);
    const address = `${reachableHost(host)}:${port === '' ? '443' : port}`;
    const operations = {
      ...managerOperations(manager),
      ...tokenOperations(
        table,
        () => ({ address, secured }),
        () => gate.localToken?.kept(),
      ),
      ...describeOperation(() => ({
        host,
        url,
        secured,
        nfs: running === undefined ? undefined : { config: config.nfs, address: running.address },
        certificate: gate.tls().certificate,
      })),
    };
    management.resolve({ doorkeeper, operations });
    return {
      url,
      host,
      beyondLoopback: !isLoopback(config.listen.host),
      secured,
      fingerprint: identity.fingerprint,
      nfs: running?.address,
      nfsProblem,
      replicaOf: replica?.of,
      over: replica?.over ?? new Promise(() => undefined),
      close,
    };
  } catch (error) {
    management.reject(
      new CalyxError('unavailable', 'the store that was starting could not start', { cause: error }),
    );
    await close();
    throw error;
  }
}

/** True if a store speaks TLS and asks for tokens: beyond loopback, unless it is told not to. */
function isSecured({ listen: { host }, tls, insecure }: StoreConfig): boolean {
  if (tls && insecure)
    throw new CalyxError('usage', '--tls and --insecure contradict each other', {
      hint: 'beyond loopback a store speaks TLS unless it is told --insecure; on loopback only if it is told --tls',
    });
  return tls || !(insecure || isLoopback(host));
}

/** The names that clients use: those that were given, and the addresses that are listened on. */
function certificateNames({ hostNames, listen: { host }, nfs }: StoreConfig): string[] {
  return [...hostNames, host, ...(nfs === undefined ? [] : [nfs.listen.host])];
}

/** With the key of the cluster, or as a replica without it. */
function openGateFor(config: StoreConfig, layout: StoreLayout): Promise<StoreGate> {
  const { replicaOf: access, logger, signal = new AbortController().signal } = config;
  const names = certificateNames(config);
  if (access === undefined) return openGate(layout, names, logger);
  return openReplicaGate({ layout, names, access, logger, signal });
}

/**
 * Brings the data directory to the layout that is wanted, before anybody reads from it.
 *
 * @throws CalyxError `usage` for a layout that it cannot be brought to
 */
async function bringToLayout(
  { contentLayout, origin, logger }: StoreConfig,
  layout: StoreLayout,
  catalog: DiskCatalog,
): Promise<void> {
  const now = await readContentLayout(layout);
  const wanted = contentLayout ?? now;
  checkContentLayout(layout, now, wanted);
  if (wanted === 'files') return;
  if (origin !== undefined)
    throw new CalyxError('usage', `${layout.root} keeps chunks, which does not go with --origin`, {
      hint: 'give the store before the bucket a data directory of its own: --data DIRECTORY',
    });
  // From now on what is added is kept as chunks, so what is left of plain files can only become less.
  if (now !== wanted) await writeContentLayout(layout, wanted);
  const models = await convertToChunks(layout, catalog);
  if (models.length > 0) logger.info({ models }, 'plain files were turned into chunks');
}

/**
 * The object storage behind the store, if it has one.
 *
 * @throws CalyxError `usage` for a replica, which cannot sign what it finds
 */
async function originOf(
  { origin, replicaOf }: StoreConfig,
  parts: Parameters<typeof openOrigin>[1],
): Promise<Origin | undefined> {
  if (origin === undefined) return undefined;
  if (replicaOf === undefined) return openOrigin(origin, parts);
  throw new CalyxError(
    'usage',
    '--origin does not go with --replica: a replica cannot sign the refs of models',
    {
      hint: 'start a store of its own before the same bucket, or copy the models to the replica',
    },
  );
}

/** @throws CalyxError `refused` for a model that would come back with the next listing */
async function checkNotInOrigin(
  origin: Origin | undefined,
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<void> {
  if (origin === undefined || !(await liesInOrigin(layout, catalog, model))) return;
  throw new CalyxError('refused', `${formatModelName(model)} lies in ${origin.name}`, {
    hint: 'remove it there; the store follows',
  });
}

/** What is published is signed, and who signs is elsewhere. */
function noManager(replica: ReplicaState, revisions: StoreManager['revisions']): StoreManager {
  const refuse = (): Promise<never> => Promise.reject(replica.elsewhere());
  return {
    ...{ publish: refuse, remove: refuse, pin: refuse, unpin: refuse, rollback: refuse, collect: refuse },
    revisions,
  };
}

/** Brings the refs of the Hugging Face cache layout in step, and signs those that are not signed yet; a replica only tells of them. */
async function putRefsRight(
  layout: StoreLayout,
  catalog: DiskCatalog,
  { identity, replica }: StoreGate,
  logger: Logger,
): Promise<void> {
  // One damaged model must not keep the others from being served.
  const onDamaged = (model: ModelName, error: unknown): void =>
    logger.error({ err: error, model: formatModelName(model) }, 'the refs of a model are damaged');
  if (replica === undefined) await signRefs(layout, catalog, identity, onDamaged);
  else {
    const onWrong = (model: ModelName, ref: string, problem: string): void =>
      logger.error(
        `${formatModelName(model)}@${ref} ${problem}, so who has joined the cluster refuses it: copy the refs (.calyx/refs) of the store that has its key again`,
      );
    await checkRefs(layout, catalog, identity.ca, onWrong, onDamaged);
  }
  for (const model of await catalog.models()) {
    try {
      await repairHubRefs(layout, model, await catalog.refs(model));
    } catch (error) {
      onDamaged(model, error);
    }
  }
}

/** A promise that is settled from outside. */
class Later<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: Error) => void;

  constructor() {
    this.promise = new Promise<T>((resolvePromise, rejectPromise) => {
      this.resolve = resolvePromise;
      this.reject = rejectPromise;
    });
    // Whoever waits is told; if nobody does, that is no fault.
    this.promise.catch(() => undefined);
  }
}
