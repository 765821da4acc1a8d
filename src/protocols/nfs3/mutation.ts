import type { TreeNode } from '../../catalog/file-tree.js';
import { describeNode } from '../nfs/failure.js';
import { procedure, type RpcCall } from '../rpc/rpc-program.js';
import type { Codec } from '../xdr/codec.js';
import { nothing } from '../xdr/codec.js';
import type { Attributes3 } from './attributes3.js';
import {
  attributesIfAny,
  findNode,
  visibleTree,
  type Nfs3Procedure,
  type Nfs3Server,
} from './node-procedure.js';
import { reportFailure } from './report.js';
import { resultOf, type Result3 } from './result.js';
import { NFS3, Nfs3Error, failureOf } from './status.js';

/** A procedure that would change something. */
export interface Mutation<Args, Failed> {
  readonly name: string;
  readonly args: Codec<Args>;
  /** The handles in the arguments. */
  handles(args: Args): readonly Uint8Array[];
  /** What follows the status. */
  readonly failed: Codec<Failed>;
  /** The body of the refusal; `attributes` of what the handles name, in the same order, as far as it was found. */
  failure(attributes: readonly (Attributes3 | undefined)[]): Failed;
}

/**
 * Makes a procedure that changes nothing: it decodes its arguments in full and finds what their handles name, so that a client with a
 * bad handle learns that; then it says that the file system is read-only.
 */
export function mutation<Args, Failed>(definition: Mutation<Args, Failed>): Nfs3Procedure {
  const { name, args } = definition;
  const result = resultOf(nothing, definition.failed);
  return (server) =>
    procedure({ name, args, result, handle: (given, call) => refuse(definition, given, call, server) });
}

async function refuse<Args, Failed>(
  definition: Mutation<Args, Failed>,
  args: Args,
  call: RpcCall,
  server: Nfs3Server,
): Promise<Result3<undefined, Failed>> {
  const nodes: TreeNode[] = [];
  try {
    const tree = visibleTree(server.exports, call);
    for (const handle of definition.handles(args)) nodes.push(await findNode(tree, handle));
    throw new Nfs3Error(NFS3.ROFS);
  } catch (error) {
    reportFailure(server.exports, call, `${definition.name}${describeNode(nodes.at(-1))}`, error);
    const attributes = await Promise.all(nodes.map(attributesIfAny));
    return { status: failureOf(error), value: definition.failure(attributes) };
  }
}
