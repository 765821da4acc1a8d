import { procedure } from '../../rpc/rpc-program.js';
import { list, nothing, struct, text } from '../../xdr/codec.js';
import type { MountProcedure } from './mount-procedure.js';
import { path } from './path.js';

/** mountbody (RFC 1813, section 5.2.2): MNTNAMLEN is 255. */
const mounted = struct({ host: text(255), path });

/**
 * DUMP: who has mounted what (RFC 1813, section 5.2.2). Always an empty list: such a record never knows of clients that died or of mounts
 * made by another replica, nothing depends on it, and a server that remembers nothing can be replaced at any moment.
 */
export const dump: MountProcedure = () =>
  procedure({ name: 'DUMP', args: nothing, result: list(mounted, 0), handle: () => [] });
