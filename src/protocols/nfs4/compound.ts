import { isUtf8 } from 'node:buffer';
import type { NfsExports } from '../nfs/exports.js';
import type { RpcCall } from '../rpc/rpc-program.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import { RunningCompound } from './running-compound.js';
import { Replay } from './sessions/sequence.js';
import type { ServerState } from './state/server-state.js';
import { NFS4, type Nfs4Status } from './status.js';

const MAX_TAG_BYTES = 1024;
/** U+FFFE and U+FFFF. */
const NO_CHARACTERS = ['\ufffe', '\uffff'];

/**
 * COMPOUND (RFC 8881, section 16.2): does operations in order until one fails. A request that is no COMPOUND
 * at all throws XdrError; everything else is told in the result.
 */
export async function compound(
  state: ServerState,
  exports: NfsExports,
  args: XdrReader,
  result: XdrWriter,
  call: RpcCall,
): Promise<void> {
  const request = args.fixedOpaque(args.remaining);
  const reader = new XdrReader(request);
  const tag = reader.opaque(MAX_TAG_BYTES);
  const minorVersion = reader.uint32();
  const operations = reader.uint32();
  const start = result.byteLength;
  const setStatus = result.laterUint32();
  result.opaque(tag);
  const setCount = result.laterUint32();
  const finish = (status: Nfs4Status, count: number): void => {
    setStatus(status);
    setCount(count);
  };
  if (minorVersion !== 1 && minorVersion !== 2) {
    finish(NFS4.MINOR_VERS_MISMATCH, 0);
    return;
  }
  if (!isText(tag)) {
    finish(NFS4.INVAL, 0);
    return;
  }
  state.expireLeasesNowAndThen();
  const tree = exports.treeFor(call.connection.peer);
  if (tree === undefined) {
    finish(NFS4.ACCESS, 0);
    return;
  }
  const fields = {
    state,
    exports,
    call,
    tree,
    minorVersion,
    operations,
    request,
    reader,
    result,
    start,
  } as const;
  const running = new RunningCompound(fields);
  try {
    const { status, count } = await running.run();
    finish(status, count);
    running.end();
  } catch (error) {
    running.abandon();
    if (!(error instanceof Replay)) throw error;
    result.rewind(start);
    result.raw(error.reply);
  }
}

/**
 * Whether a tag is text in UTF-8. The codes that stand for no character are none, although they can be
 * written.
 */
function isText(tag: Uint8Array): boolean {
  if (tag.byteLength === 0) return true;
  return isUtf8(tag) && !NO_CHARACTERS.some((character) => Buffer.from(tag).includes(character));
}
