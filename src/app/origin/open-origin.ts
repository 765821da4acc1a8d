import { statfs } from 'node:fs/promises';
import type { Logger } from 'pino';
import type { DiskCatalog } from '../../catalog/catalog-reader.js';
import type { OriginIndex } from '../../catalog/origin/origin-index.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import type { Digest } from '../../core/digest.js';
import { fileError } from '../../core/errors.js';
import type { BufferPool } from '../../storage/buffer-pool.js';
import type { ByteSource } from '../../storage/byte-source.js';
import { MIN_BUDGET_BYTES } from '../../storage/caches/disk/pack-geometry.js';
import { DiskCache, type DiskCacheStats } from '../../storage/caches/disk/disk-cache.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import { sizeBelow } from '../../storage/files/size-below.js';
import { MeterLayer, type Meter } from '../../storage/layers/meter.js';
import { RetryLayer } from '../../storage/layers/retry.js';
import type { ObjectBucket } from '../../storage/object-bucket.js';
import { S3Source } from '../../storage/sources/s3-source.js';
import { OriginFollower } from './origin-follower.js';
import type { OriginReport } from './origin-state.js';

/** Where a store's models lie, if not in its data directory. */
export interface OriginConfig {
  readonly bucket: ObjectBucket;
  /** What the disk cache may take. @default half of what is free */
  readonly cacheBytes?: number | undefined;
  /** From one listing of the bucket to the next. @default 60000 */
  readonly pollMs?: number | undefined;
  /** How long a read is tried again. @default 30000 */
  readonly readDeadlineMs?: number | undefined;
}

const DEFAULTS = { pollMs: 60_000, readDeadlineMs: 30_000 } as const;
/** Wrong bytes are asked for again so often; then the object is what is wrong. */
const CORRUPT_RETRIES = 2;

/** Object storage behind a store. */
export interface Origin {
  readonly name: string;
  /** Reads blobs of the bucket, through the cache. */
  readonly source: ByteSource;
  /** True if a blob is to be read from the bucket: one that lies in the data directory too is not. */
  has(blob: Digest): boolean;
  /** Looks whether a blob lies in the data directory: it was put there, or removed. */
  look(blob: Digest): Promise<void>;
  /** What was read from the bucket for readers; not the reading for manifests. */
  readonly meter: Meter;
  readonly cache: DiskCacheStats;
  readonly report: OriginReport;
  /** Begins to follow the bucket. */
  follow(changes: Pick<ConstructorParameters<typeof OriginFollower>[0], 'inTurn' | 'sign'>): Promise<void>;
  /** Ends following; the source is closed by itself. */
  close(): Promise<void>;
}

/**
 * Opens the cache before a bucket.
 *
 * @param index shared with the catalog, which asks it for blobs that are not on the disk
 * @throws CalyxError `usage` for a cache that is too small
 */
export async function openOrigin(
  { bucket, cacheBytes, pollMs = DEFAULTS.pollMs, readDeadlineMs = DEFAULTS.readDeadlineMs }: OriginConfig,
  parts: {
    readonly layout: StoreLayout;
    readonly catalog: DiskCatalog;
    readonly index: OriginIndex;
    readonly pool: BufferPool;
    readonly logger: Logger;
  },
): Promise<Origin> {
  const { layout, index, pool, logger } = parts;
  const meter = new MeterLayer(new S3Source(bucket, (blob) => index.objects(blob), pool));
  const cache = await DiskCache.open(meter, {
    directory: layout.cache,
    budgetBytes: cacheBytes ?? (await shareOfDisk(layout)),
    chunks: (blob, offset, length) => index.chunks(blob, offset, length),
    pool,
    description: `calyx store (process ${process.pid})`,
    onTrouble: (error) => logger.error({ err: error }, 'the disk cache'),
  });
  // Above the cache: what has arrived of a read meanwhile is not fetched again.
  const source = new RetryLayer(cache, {
    deadlineMs: readDeadlineMs,
    corruptRetries: CORRUPT_RETRIES,
    onRetry: (error) => logger.warn({ err: error }, `a read from ${bucket.name} is tried again`),
  });
  let follower: OriginFollower | undefined;
  const onDisk = new Set<Digest>();
  const look = async (blob: Digest): Promise<void> => {
    if (index.has(blob) && (await parts.catalog.locate(blob)) !== undefined) onDisk.add(blob);
    else onDisk.delete(blob);
  };
  return {
    name: bucket.name,
    source,
    has: (blob) => index.has(blob) && !onDisk.has(blob),
    look,
    meter: meter.meter,
    get cache() {
      return cache.stats;
    },
    get report() {
      return follower?.state.report ?? { origin: bucket.name, models: [] };
    },
    follow: async (changes) => {
      follower = new OriginFollower({ ...parts, ...changes, bucket, pollMs, look });
      await follower.load();
      follower.start();
    },
    close: async () => follower?.close(),
  };
}

/** Half of the disk that nobody else uses. */
async function shareOfDisk(layout: StoreLayout): Promise<number> {
  try {
    await makeDirectories(layout.cache);
    const { bavail, bsize } = await statfs(layout.cache);
    const free = bavail * bsize + (await sizeBelow(layout.cache));
    return Math.max(Math.floor(free / 2), MIN_BUDGET_BYTES);
  } catch (error) {
    throw fileError(error, 'cannot use', layout.cache);
  }
}
