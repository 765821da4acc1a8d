import { Counter, Gauge, Registry } from 'prom-client';
import type { NodeRegistry } from '../../cluster/node-registry.js';
import type { RpcServerLoad } from '../../protocols/rpc/create-rpc-server.js';
import type { Origin } from '../origin/open-origin.js';
import type { MeterLayer } from '../../storage/layers/meter.js';

/** What a store measures. */
export interface StoreParts {
  /** Around the data directory. */
  readonly disk: MeterLayer;
  /** Around what NFS reads from. */
  readonly nfsReads: MeterLayer;
  readonly registry: NodeRegistry;
  /** Undefined while NFS is not served. */
  nfsLoad(): RpcServerLoad | undefined;
  /** Of a replica: for how long the writer has not told its tokens. */
  readonly tokensAgeSeconds?: (() => number) | undefined;
  /** Object storage behind it. */
  readonly origin?: Origin | undefined;
}

/** The metrics of a store, in the form of Prometheus. */
export function storeMetrics(parts: StoreParts): { metrics: Registry; blobBytesSent: Counter } {
  const { disk, nfsReads, registry } = parts;
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
    () => disk.meter.bytes,
  );
  fromMeter('calyx_store_disk_reads', 'Reads of the data directory', () => disk.meter.reads);
  fromMeter(
    'calyx_store_disk_read_errors',
    'Reads of the data directory that failed',
    () => disk.meter.errors,
  );
  fromMeter(
    'calyx_store_disk_read_seconds',
    'Seconds that reads of the data directory took, added up',
    () => disk.meter.seconds,
  );
  fromMeter('calyx_store_nfs_read_bytes', 'Bytes of blobs read for NFS clients', () => nfsReads.meter.bytes);
  fromMeter('calyx_store_nfs_reads', 'Reads of blobs for NFS clients', () => nfsReads.meter.reads);
  fromMeter(
    'calyx_store_nfs_connections',
    'Connections of NFS clients',
    () => parts.nfsLoad()?.connections ?? 0,
  );
  fromMeter(
    'calyx_store_nfs_calls',
    'Calls of NFS clients that are not answered yet',
    () => parts.nfsLoad()?.calls ?? 0,
  );
  fromMeter(
    'calyx_store_nfs_reply_bytes',
    'Bytes of replies to NFS clients in memory or promised',
    () => parts.nfsLoad()?.replyBytes ?? 0,
  );
  fromMeter('calyx_store_nodes', 'Nodes that are alive', () => registry.list().length);
  const { tokensAgeSeconds } = parts;
  if (tokensAgeSeconds !== undefined)
    fromMeter(
      'calyx_store_tokens_age_seconds',
      'Seconds since the store that makes the tokens has last told them to this replica',
      tokensAgeSeconds,
    );
  if (parts.origin !== undefined) originMetrics(parts.origin, fromMeter);
  fromMeter('process_resident_memory_bytes', 'Resident memory of the process in bytes', () =>
    process.memoryUsage.rss(),
  );
  return { metrics, blobBytesSent };
}

function originMetrics(
  origin: Origin,
  show: (name: string, help: string, value: () => number) => void,
): void {
  const { meter } = origin;
  show('calyx_origin_bytes_read', 'Bytes of blobs read from object storage', () => meter.bytes);
  show('calyx_origin_reads', 'Reads of object storage for blobs', () => meter.reads);
  show('calyx_origin_read_errors', 'Reads of object storage that failed', () => meter.errors);
  show(
    'calyx_origin_read_seconds',
    'Seconds that reads of object storage took, added up',
    () => meter.seconds,
  );
  show('calyx_origin_wrong_chunks', 'Chunks that object storage sent wrong', () => origin.cache.wrongChunks);
  show('calyx_cache_hits', 'Chunks of reads that were in the disk cache', () => origin.cache.hits);
  show(
    'calyx_cache_joined',
    'Chunks of reads that another read was fetching already',
    () => origin.cache.joined,
  );
  show('calyx_cache_misses', 'Chunks of reads that had to be fetched', () => origin.cache.misses);
  show('calyx_cache_hit_bytes', 'Bytes of reads that came from the disk cache', () => origin.cache.hitBytes);
  show(
    'calyx_cache_served_bytes',
    'Bytes of all reads through the disk cache',
    () => origin.cache.servedBytes,
  );
  show('calyx_cache_used_bytes', 'Bytes of the chunks in the disk cache', () => origin.cache.usedBytes);
  show('calyx_cache_budget_bytes', 'What the disk cache may take', () => origin.cache.budgetBytes);
  show('calyx_cache_evicted_bytes', 'Bytes of chunks that made room', () => origin.cache.evictedBytes);
  show(
    'calyx_cache_damaged_chunks',
    'Chunks that were damaged on the disk and fetched again',
    () => origin.cache.damagedChunks,
  );
  show('calyx_cache_disk_failures', 'Failures of the disk of the cache', () => origin.cache.diskFailures);
}
