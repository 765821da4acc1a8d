import type { NfsExports } from '../../nfs/exports.js';
import { procedure, type RpcCall } from '../../rpc/rpc-program.js';
import { list, nothing, struct, text, type Infer } from '../../xdr/codec.js';
import { reportFailure } from '../report.js';
import type { MountProcedure } from './mount-procedure.js';
import { path } from './path.js';

/** More than the views there are. */
const MAX_EXPORTS = 64;

/** exportnode (RFC 1813, section 5.2.5), without groups: that who asks sees it says enough. */
const exported = struct({ path, groups: list(text(255), 0) });

/** EXPORT: the root, and what stands in it, as far as the client may see it (RFC 1813, section 5.2.5). */
export const exportProcedure: MountProcedure = (exports) =>
  procedure({
    name: 'EXPORT',
    args: nothing,
    result: list(exported, MAX_EXPORTS),
    handle: (_, call) => listExports(call, exports),
  });

async function listExports(call: RpcCall, exports: NfsExports): Promise<readonly Infer<typeof exported>[]> {
  try {
    const root = exports.treeFor(call.connection.peer)?.root;
    if (root === undefined) return [];
    const names = (await root.list()).slice(0, MAX_EXPORTS - 1);
    return ['/', ...names.map((name) => `/${name}`)].map((each) => ({ path: Buffer.from(each), groups: [] }));
  } catch (error) {
    // EXPORT has no status of its own, so this becomes a failure of the call.
    reportFailure(exports, call, 'EXPORT', error);
    throw error;
  }
}
