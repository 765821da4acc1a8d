import type { FileTree } from '../../../catalog/file-tree.js';
import type { RpcPeer } from '../../rpc/rpc-program.js';
import type { Compound } from '../operation.js';

/** For whom something is: those who see the same, on connections that are protected in the same way. */
export interface Audience {
  readonly tree: FileTree;
  readonly security: RpcPeer['security'];
}

/** Who sent a compound. */
export function audienceOf({ tree, call }: Compound): Audience {
  return { tree, security: call.connection.peer.security };
}

export function sameAudience(one: Audience, other: Audience): boolean {
  return one.tree === other.tree && one.security === other.security;
}
