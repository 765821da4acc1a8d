import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { Counter, Gauge, Registry } from 'prom-client';
import { DiskCatalog } from '../../catalog/catalog-reader.js';
import { repairHubRefs } from '../../catalog/publish.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { catalogTree } from '../../catalog/tree/catalog-tree.js';
import { NodeRegistry } from '../../cluster/node-registry.js';
import { nodeRoutes } from '../../cluster/node-routes.js';
import { fileError } from '../../core/errors.js';
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

/** Configuration of a store. */
export interface StoreConfig {
  readonly dataDirectory: string;
  readonly listen: ListenAddress;
  /** Allows addresses that strangers can reach. */
  readonly insecure: boolean;
  readonly hostNames: readonly string[];
  readonly logger: Logger;
}

/** A store that serves. */
export interface RunningStore {
  readonly url: string;
  /** Stops listening and gives the directory free. */
  close(): Promise<void>;
}

/** Buffers for all answers together: as much as the most clients that are let in can hold, see FairShare. */
const POOL_BYTES = 128 * 1024 * 1024;

/**
 * Starts a store on a data directory.
 *
 * @throws CalyxError `refused` for an address beyond loopback, `busy` if the directory or the port is taken
 */
export async function runStore(config: StoreConfig): Promise<RunningStore> {
  checkListenAddress(config.listen.host, config.insecure);
  const layout = new StoreLayout(resolve(config.dataDirectory));
  const catalog = new DiskCatalog(layout);
  const directory = new DirectorySource(
    layout.root,
    (blob) => catalog.locate(blob),
    new BufferPool({ budgetBytes: POOL_BYTES }),
  );
  // The files of blobs stay open: one that was removed would keep its space, one that was repaired would stay damaged.
  const manager = ownManager(layout, catalog, (blob) => directory.forget(blob));
  const meter = new MeterLayer(directory);
  const source = new CoalesceLayer(meter);
  const ownership = await acquireOwnership(layout.owners, {
    description: `calyx store (process ${process.pid})`,
    handler: (request) => answerManagement(manager, request),
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', layout.root);
  });
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
    const { metrics, blobBytesSent } = storeMetrics(meter, registry);
    contentRoutes(server, {
      manifestBytes: (digest) => catalog.manifestBytes(digest),
      blobSize: (blob) => catalog.blobSize(blob),
      source,
      tree: catalogTree(catalog).root,
      share: new FairShare(),
      onSent: (bytes) => blobBytesSent.inc(bytes),
      onCutOff: (url, error) => config.logger.error({ err: error, url }, 'an answer was cut off'),
    });
    catalogRoutes(server, catalog);
    nodeRoutes(server, registry);
    healthRoutes(server, metrics);
    server.get('/v1/status', async () => {
      const sent = await blobBytesSent.get();
      return { blobBytesSent: sent.values[0]?.value ?? 0, nodes: registry.list().length };
    });
    const url = await listen(server, config.listen);
    return {
      url,
      close: async () => {
        await server.close();
        await source.close();
        await ownership.release();
      },
    };
  } catch (error) {
    await ownership.release();
    throw error;
  }
}

function storeMetrics(
  meter: MeterLayer,
  registry: NodeRegistry,
): { metrics: Registry; blobBytesSent: Counter } {
  const metrics = new Registry();
  const registers = [metrics];
  const blobBytesSent = new Counter({
    name: 'calyx_store_blob_bytes_sent_total',
    help: 'Bytes of blobs sent to clients',
    registers,
  });
  const fromMeter = (name: string, help: string, value: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(value());
      },
    });
  };
  fromMeter(
    'calyx_store_disk_bytes_read',
    'Bytes of blobs read from the data directory',
    () => meter.meter.bytes,
  );
  fromMeter('calyx_store_disk_reads', 'Reads of the data directory', () => meter.meter.reads);
  fromMeter(
    'calyx_store_disk_read_errors',
    'Reads of the data directory that failed',
    () => meter.meter.errors,
  );
  fromMeter(
    'calyx_store_disk_read_seconds',
    'Seconds that reads of the data directory took, added up',
    () => meter.meter.seconds,
  );
  fromMeter('calyx_store_nodes', 'Nodes that are alive', () => registry.list().length);
  fromMeter('process_resident_memory_bytes', 'Resident memory of the process in bytes', () =>
    process.memoryUsage.rss(),
  );
  return { metrics, blobBytesSent };
}
