import type { FileTree, TreeNode } from '../../catalog/file-tree.js';
import { isCalyxError } from '../../core/errors.js';
import { attributesOf } from '../nfs/attributes.js';
import type { NfsExports } from '../nfs/exports.js';
import { describeNode } from '../nfs/failure.js';
import { procedure, type RpcCall, type RpcProcedure } from '../rpc/rpc-program.js';
import type { Codec } from '../xdr/codec.js';
import { toAttributes3, type Attributes3 } from './attributes3.js';
import { reportFailure } from './report.js';
import { resultOf, type Result3 } from './result.js';
import { NFS3, Nfs3Error, failureOf } from './status.js';

/** What all procedures of one program share. */
export interface Nfs3Server {
  readonly exports: NfsExports;
}

/** What one call of a procedure works with. */
export interface Nfs3Context extends Nfs3Server {
  readonly call: RpcCall;
  /** What this client may see. */
  readonly tree: FileTree;
  /**
   * The attributes of the node, read before anything else: from attributes that are older than the answer, a client learns that it must ask
   * again; from newer ones it would take an answer for current that is not, such as that there is no entry of a name.
   */
  readonly attributes: Attributes3;
}

/** A procedure that waits for a server. */
export type Nfs3Procedure = (server: Nfs3Server) => RpcProcedure;

/** A procedure on one node, as nearly all are. */
export interface NodeProcedure<Args, Ok, Failed> {
  readonly name: string;
  readonly args: Codec<Args>;
  /** The node's handle. */
  handle(args: Args): Uint8Array;
  /** What follows NFS3_OK. */
  readonly ok: Codec<Ok>;
  /** What follows every other status. */
  readonly failed: Codec<Failed>;
  /** Throws Nfs3Error for a status other than NFS3_OK; what else is thrown is mapped by `failureOf` and reported. */
  run(args: Args, node: TreeNode, context: Nfs3Context): Ok | Promise<Ok>;
  /** The body of a failure; `attributes` of the node, if they could be had. */
  failure(attributes: Attributes3 | undefined): Failed;
}

/** Makes a {@link Nfs3Procedure} of a definition. */
export function nodeProcedure<Args, Ok, Failed>(definition: NodeProcedure<Args, Ok, Failed>): Nfs3Procedure {
  const { name, args } = definition;
  const result = resultOf(definition.ok, definition.failed);
  return (server) =>
    procedure({ name, args, result, handle: (given, call) => answer(definition, given, call, server) });
}

async function answer<Args, Ok, Failed>(
  definition: NodeProcedure<Args, Ok, Failed>,
  args: Args,
  call: RpcCall,
  server: Nfs3Server,
): Promise<Result3<Ok, Failed>> {
  let node: TreeNode | undefined;
  let attributes: Attributes3 | undefined;
  try {
    const tree = visibleTree(server.exports, call);
    node = await findNode(tree, definition.handle(args));
    attributes = toAttributes3(await attributesOf(node));
    const context = { ...server, call, tree, attributes };
    return { status: NFS3.OK, value: await definition.run(args, node, context) };
  } catch (error) {
    reportFailure(server.exports, call, `${definition.name}${describeNode(node)}`, error);
    return { status: failureOf(error), value: definition.failure(attributes) };
  }
}

/** What the caller may see; throws Nfs3Error ACCES if that is nothing. */
export function visibleTree(exports: NfsExports, call: RpcCall): FileTree {
  const tree = exports.treeFor(call.connection.peer);
  if (tree === undefined) throw new Nfs3Error(NFS3.ACCES);
  return tree;
}

/** The node of a handle; throws Nfs3Error BADHANDLE or STALE. */
export async function findNode(tree: FileTree, handle: Uint8Array): Promise<TreeNode> {
  let node: TreeNode | undefined;
  try {
    node = await tree.find(handle);
  } catch (error) {
    if (isCalyxError(error, 'usage')) throw new Nfs3Error(NFS3.BADHANDLE);
    throw error;
  }
  if (node === undefined) throw new Nfs3Error(NFS3.STALE);
  return node;
}

/** Attributes where they are welcome but not owed. */
export async function attributesIfAny(node: TreeNode | undefined): Promise<Attributes3 | undefined> {
  if (node === undefined) return undefined;
  try {
    return toAttributes3(await attributesOf(node));
  } catch {
    return undefined;
  }
}
