import { MAX_READ_BYTES } from '../../nfs/limits.js';
import { array, struct, uint32, type Infer } from '../../xdr/codec.js';
import { NFS4, Nfs4Error } from '../status.js';

/** What a channel of a session can take (channel_attrs4, RFC 8881, section 18.36.1). */
export const channelAttributes = struct({
  headerPadding: uint32,
  maxRequestBytes: uint32,
  maxResponseBytes: uint32,
  /** Of a reply that is kept for retries. */
  maxCachedBytes: uint32,
  maxOperations: uint32,
  /** Slots. */
  maxRequests: uint32,
  rdmaReads: array(uint32, 1),
});

export type ChannelAttributes = Infer<typeof channelAttributes>;

/** What is around the data of a READ: RPC header, SEQUENCE, attributes. Linux counts on 904 bytes. */
const OVERHEAD_BYTES = 4096;
/** Below this no request with SEQUENCE and no reply to it fits, with their RPC headers. */
const MIN_BYTES = 128;
/** Linux asks for 7,584. */
const MAX_CACHED_BYTES = 8192;
/** Linux asks for 8; the longest compounds of others have about 20. */
const MAX_OPERATIONS = 64;
const MAX_SLOTS = 64;

/**
 * What the server agrees to for the fore channel: never more than was asked for.
 *
 * @throws Nfs4Error `TOOSMALL` if nothing could be said within what was asked for
 */
export function agreeForeChannel(asked: ChannelAttributes): ChannelAttributes {
  if (asked.maxRequestBytes < MIN_BYTES || asked.maxResponseBytes < MIN_BYTES || asked.maxOperations === 0)
    throw new Nfs4Error(NFS4.TOOSMALL);
  return {
    headerPadding: 0,
    maxRequestBytes: Math.min(asked.maxRequestBytes, MAX_READ_BYTES + OVERHEAD_BYTES),
    maxResponseBytes: Math.min(asked.maxResponseBytes, MAX_READ_BYTES + OVERHEAD_BYTES),
    maxCachedBytes: Math.min(asked.maxCachedBytes, MAX_CACHED_BYTES),
    maxOperations: Math.min(asked.maxOperations, MAX_OPERATIONS),
    maxRequests: Math.min(Math.max(asked.maxRequests, 1), MAX_SLOTS),
    rdmaReads: [],
  };
}

/**
 * What the server agrees to for the back channel, which it never uses: there are no delegations to recall.
 *
 * @throws Nfs4Error `TOOSMALL` if CB_SEQUENCE and one more operation would not fit
 */
export function agreeBackChannel(asked: ChannelAttributes): ChannelAttributes {
  const wanted = asked.maxRequests > 0;
  if (wanted && (asked.maxRequestBytes < MIN_BYTES || asked.maxOperations < 2))
    throw new Nfs4Error(NFS4.TOOSMALL);
  return { ...asked, headerPadding: 0, rdmaReads: [] };
}
