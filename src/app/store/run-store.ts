import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { CachedCatalog } from '../../catalog/cached-catalog.js';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import { repairHubRefs } from '../../catalog/publish.js';
import { RevisionUsage } from '../../catalog/revision-usage.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { NodeRegistry } from '../../cluster/node-registry.js';
import { nodeRoutes } from '../../cluster/node-routes.js';
import { fileError, isCalyxError, type CalyxError } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';
import { catalogRoutes } from '../../protocols/http/catalog-routes.js';
import { contentRoutes } from '../../protocols/http/content-routes.js';
import { createHttpServer, listen, type ListenAddress } from '../../protocols/http/create-server.js';
import { FairShare } from '../../protocols/http/fair-share.js';
import { checkListenAddress } from '../../protocols/http/guard.js';
import { healthRoutes } from '../../protocols/http/health-routes.js';
import { BufferPool } from '../../storage/buffer-pool.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { CoalesceLayer } from '../../storage/layers/coalesce.js';
import { MeterLayer } from '../../storage/layers/meter.js';
import { DirectorySource } from '../../storage/sources/directory-source.js';
import { answerManagement, ownManager } from './manage.js';
import { ModelViews } from './model-views.js';
import { storeMetrics } from './store-metrics.js';
import { checkNfsConfig, serveNfs, type NfsConfig, type RunningNfs } from './nfs/serve-nfs.js';

/** Configuration of a store. */
export interface StoreConfig {
  readonly dataDirectory: string;
  readonly listen: ListenAddress;
  /** Allows addresses that strangers can reach. */
  readonly insecure: boolean;
  readonly hostNames: readonly string[];
  /** Whether and how it is served by NFS. */
  readonly nfs: NfsConfig | undefined;
  /** Goes on without NFS if its port is taken: for a port that nobody has asked for. */
  readonly nfsOptional?: boolean;
  readonly logger: Logger;
}

/** A store that serves. */
export interface RunningStore {
  readonly url: string;
  /** Where NFS is served. */
  readonly nfs: ListenAddress | undefined;
  /** Why NFS is not served although it could be. */
  readonly nfsProblem: CalyxError | undefined;
  /** Stops listening and gives the directory free. */
  close(): Promise<void>;
}

const MIB = 1024 * 1024;

/**
 * Buffers for all answers together: as much as the most clients of HTTP that are let in can hold (see FairShare), and the replies
 * that NFS lets be in flight, with room for buffers that are larger than what they hold.
 */
const POOL_BYTES = 128 * MIB + 80 * MIB;

/**
 * Starts a store on a data directory.
 *
 * @throws CalyxError `refused` for an address beyond loopback, `busy` if the directory or the port is taken
 */
export async function runStore(config: StoreConfig): Promise<RunningStore> {
  checkListenAddress(config.listen.host, config.insecure);
  if (config.nfs !== undefined) checkNfsConfig(config.nfs);
  const layout = new StoreLayout(resolve(config.dataDirectory));
  const catalog = new DiskCatalog(layout);
  const directory = new DirectorySource(
    layout.root,
    (blob) => catalog.locate(blob),
    new BufferPool({ budgetBytes: POOL_BYTES }),
  );
  // The files of blobs stay open: one that was removed would keep its space, one that was repaired would stay damaged.
  const shown = new CachedCatalog(catalog);
  const usage = new RevisionUsage();
  const manager = ownManager(layout, catalog, {
    onReplaced: (blob) => directory.forget(blob),
    onChanged: () => shown.invalidate(),
    usersOf: (model) => usage.usersOf(model),
  });
  const meter = new MeterLayer(directory);
  const source = new CoalesceLayer(meter);
  const ownership = await acquireOwnership(layout.owners, {
    description: `calyx store (process ${process.pid})`,
    handler: (request) => answerManagement(manager, request),
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', layout.root);
  });
  let nfs: RunningNfs | undefined;
  try {
    for (const model of await catalog.models()) {
      try {
        await repairHubRefs(layout, model, await catalog.refs(model));
      } catch (error) {
        // One damaged model must not keep the others from being served.
        config.logger.error({ err: error, model: formatModelName(model) }, 'the refs of a model are damaged');
      }
    }
    const server = createHttpServer({ logger: config.logger, hostNames: config.hostNames });
    const registry = new NodeRegistry();
    const nfsReads = new MeterLayer(source);
    const { metrics, blobBytesSent } = storeMetrics({
      disk: meter,
      nfsReads,
      registry,
      nfsLoad: () => nfs?.load(),
    });
    const views = new ModelViews(catalog);
    contentRoutes(server, {
      source,
      view: (grant) => views.of(grant),
      share: new FairShare(),
      onSent: (bytes) => blobBytesSent.inc(bytes),
      onCutOff: (url, error) => config.logger.error({ err: error, url }, 'an answer was cut off'),
    });
    catalogRoutes(server, (grant) => views.of(grant).catalog);
    nodeRoutes(server, registry);
    healthRoutes(server, metrics);
    server.get('/v1/status', { config: { access: 'read' } }, async () => {
      const sent = await blobBytesSent.get();
      return {
        blobBytesSent: sent.values[0]?.value ?? 0,
        nodes: registry.list().length,
        nfsConnections: nfs?.load().connections ?? 0,
      };
    });
    const url = await listen(server, config.listen);
    let nfsProblem: CalyxError | undefined;
    try {
      if (config.nfs !== undefined)
        nfs = await serveNfs(config.nfs, { catalog: shown, source: nfsReads, usage, logger: config.logger });
    } catch (error) {
      if (config.nfsOptional !== true || !isCalyxError(error, 'busy')) {
        await server.close();
        throw error;
      }
      nfsProblem = error;
    }
    const running = nfs;
    return {
      url,
      nfs: running?.address,
      nfsProblem,
      close: async () => {
        await Promise.all([server.close(), running?.close()]);
        await source.close();
        await ownership.release();
      },
    };
  } catch (error) {
    await ownership.release();
    throw error;
  }
}
