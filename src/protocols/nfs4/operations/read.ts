import type { FileNode } from '../../../catalog/file-tree.js';
import { MAX_READ_BYTES } from '../../nfs/limits.js';
import { readFileRange } from '../../nfs/read-file.js';
import { bool, payload, position64, struct, uint32 } from '../../xdr/codec.js';
import type { Payload } from '../../xdr/xdr-writer.js';
import { operation, type Compound } from '../operation.js';
import { stateId } from '../state-id.js';
import { NFS4, Nfs4Error } from '../status.js';
import { checkReadState, currentFile } from './current.js';

interface ReadResult {
  readonly eof: boolean;
  readonly data: Payload;
}

/** `eof` and the length of the data. */
const RESULT_HEADER_BYTES = 8;
const WORD_BYTES = 4;

/** READ (RFC 8881, section 18.22). May give less than was asked for, as the protocol allows. */
export const read = operation({
  name: 'READ',
  args: struct({ stateId, offset: position64, count: uint32 }),
  result: struct({ eof: bool, data: payload(MAX_READ_BYTES) }),
  handle: ({ stateId: id, offset, count }, compound) => {
    const file = currentFile(compound);
    checkReadState(id, file, compound);
    const length = readableBytes(file, offset, count, compound);
    compound.exports.usage.read(file, compound.call.connection.peer);
    const reserved = length > 0 ? compound.call.reserve(length) : undefined;
    // Without a wait where there is nothing to wait for: what the source has at hand is answered at once.
    return reserved === undefined
      ? readNow(file, offset, length, compound)
      : reserved.then(() => readNow(file, offset, length, compound));
  },
});

function readableBytes(file: FileNode, offset: number, count: number, compound: Compound): number {
  const room = compound.room() - RESULT_HEADER_BYTES;
  const wanted = Math.min(count, Math.max(file.size - offset, 0), MAX_READ_BYTES);
  if (room < Math.min(wanted, WORD_BYTES)) throw new Nfs4Error(NFS4.REP_TOO_BIG);
  // Padding takes room as well.
  return Math.min(wanted, room - (room % WORD_BYTES));
}

function readNow(
  file: FileNode,
  offset: number,
  length: number,
  { exports, call }: Compound,
): ReadResult | Promise<ReadResult> {
  const lease = readFileRange(file, offset, length, exports.source, call.signal);
  const resultOf = (data: Payload): ReadResult => ({ eof: offset + bytesIn(data) >= file.size, data });
  return lease instanceof Promise ? lease.then(resultOf) : resultOf(lease);
}

function bytesIn({ parts }: Payload): number {
  return parts.reduce((sum, part) => sum + part.byteLength, 0);
}
