import type { ClusterCredential } from '../../core/access.js';
import type { Digest } from '../../core/digest.js';
import { TRANSFER_BYTES, transferBytes, type Transfer } from '../../catalog/fetch/transfer.js';
import { BufferPool } from '../../storage/buffer-pool.js';
import type { ByteSource } from '../../storage/byte-source.js';
import { FailoverLayer } from '../../storage/layers/failover.js';
import { MeterLayer } from '../../storage/layers/meter.js';
import { RetryLayer } from '../../storage/layers/retry.js';
import { VerifyLayer, type ChunkDigest } from '../../storage/layers/verify.js';
import { HttpSource } from '../../storage/sources/http-source.js';

/** From where a fetch reads, and how patiently. */
export interface SourceConfig {
  /** Addresses of stores, in the order in which they are asked. */
  readonly urls: readonly string[];
  /** Undefined for stores that ask nobody. */
  readonly credential: ClusterCredential | undefined;
  /** For how long a read that fails is tried again. */
  readonly deadlineMs: number;
  /** Longest wait for the next byte. */
  readonly stallMs: number;
}

/** Defaults of {@link SourceConfig}. */
export const SOURCE_DEFAULTS = { deadlineMs: 30_000, stallMs: 15_000 } as const;

/** A source for given transfers, with its counters. */
export interface SourceStack {
  readonly source: ByteSource;
  readonly counters: { readonly retries: number; readonly bytesReceived: number };
}

/**
 * HTTP -> meter -> verify for each store, then failover between them, then retries.
 *
 * @param parallel how many of the transfers are read at the same time: there are buffers for as many
 */
export function createSourceStack(
  config: SourceConfig,
  transfers: readonly Transfer[],
  parallel: number,
): SourceStack {
  const pool = new BufferPool({ budgetBytes: parallel * TRANSFER_BYTES });
  const chunks = chunkLookup(transfers);
  let retries = 0;
  const onFailure = (): void => {
    retries += 1;
  };
  const { credential, stallMs } = config;
  const meters = config.urls.map(
    (url) =>
      new MeterLayer(new HttpSource(new URL(url), pool, { credential, stallMs, connections: parallel })),
  );
  const failover = new FailoverLayer(
    meters.map((meter) => new VerifyLayer(meter, chunks)),
    { onFailure: meters.length > 1 ? onFailure : () => undefined },
  );
  return {
    source: new RetryLayer(failover, { deadlineMs: config.deadlineMs, onRetry: onFailure }),
    counters: {
      get retries() {
        return retries;
      },
      get bytesReceived() {
        return meters.reduce((sum, { meter }) => sum + meter.bytes, 0);
      },
    },
  };
}

/** Each transfer is read as a whole, so its first byte tells which chunks are meant. */
function chunkLookup(
  transfers: readonly Transfer[],
): (blob: Digest, offset: number, length: number) => readonly ChunkDigest[] | undefined {
  const known = new Map(
    transfers.map((transfer) => [`${transfer.blob}:${transfer.chunks[0]?.offset}`, transfer]),
  );
  return (blob, offset, length) => {
    const transfer = known.get(`${blob}:${offset}`);
    return transfer !== undefined && transferBytes(transfer) === length ? transfer.chunks : undefined;
  };
}
