import type { TreeNode } from '../../catalog/file-tree.js';
import type { Codec } from '../xdr/codec.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import type { FileTree } from '../../catalog/file-tree.js';
import type { NfsExports } from '../nfs/exports.js';
import type { RpcCall } from '../rpc/rpc-program.js';
import type { StateId } from './state-id.js';
import type { NFS4, Nfs4Status } from './status.js';
import type { ClientState } from './state/client-state.js';

/** What the operations of one COMPOUND share (RFC 8881, section 16.2.3). */
export interface Compound {
  readonly call: RpcCall;
  readonly exports: NfsExports;
  /** What this client may see. */
  readonly tree: FileTree;
  readonly minorVersion: 1 | 2;
  /** The client to whose session SEQUENCE bound this compound; undefined before, and without SEQUENCE. */
  client: ClientState | undefined;
  /** The current filehandle. */
  current: TreeNode | undefined;
  saved: TreeNode | undefined;
  /** The current and the saved stateid (section 16.2.3.1.2). */
  currentStateId: StateId | undefined;
  savedStateId: StateId | undefined;
  /** Bytes that the rest of the reply may take, so that it fits the session's largest response. */
  room(): number;
}

/**
 * An operation as the dispatch table has it. Decodes its arguments, writes what follows the status, and
 * returns the status; what it threw instead of returning counts alone: an Nfs4Error with its status, an
 * XdrError as BADXDR.
 */
export interface Operation<C extends Compound = Compound> {
  readonly name: string;
  call(args: XdrReader, result: XdrWriter, compound: C): Nfs4Status | Promise<Nfs4Status>;
  /**
   * Writes what follows a status other than NFS4_OK when `call` threw. Absent where nothing does, as for
   * most.
   */
  failure?(result: XdrWriter): void;
}

/** An operation with codecs for its arguments and for the result that follows NFS4_OK. */
export interface OperationDefinition<Args, Result, C extends Compound = Compound> {
  readonly name: string;
  readonly args: Codec<Args>;
  readonly result: Codec<Result>;
  /** Throws Nfs4Error for every other status. */
  handle(args: Args, compound: C): Result | Promise<Result>;
}

const OK: typeof NFS4.OK = 0;

/** Makes a definition an {@link Operation}. */
export function operation<Args, Result, C extends Compound = Compound>(
  definition: OperationDefinition<Args, Result, C>,
): Operation<C> {
  return {
    name: definition.name,
    call: (reader, writer, compound) => {
      const args = definition.args.decode(reader);
      const result = definition.handle(args, compound);
      if (!(result instanceof Promise)) {
        definition.result.encode(writer, result);
        return OK;
      }
      return result.then((value) => {
        definition.result.encode(writer, value);
        return OK;
      });
    },
  };
}
