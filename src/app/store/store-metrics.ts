import { Counter, Gauge, Registry } from 'prom-client';
import type { NodeRegistry } from '../../cluster/node-registry.js';
import type { RpcServerLoad } from '../../protocols/rpc/create-rpc-server.js';
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
  fromMeter('process_resident_memory_bytes', 'Resident memory of the process in bytes', () =>
    process.memoryUsage.rss(),
  );
  return { metrics, blobBytesSent };
}
