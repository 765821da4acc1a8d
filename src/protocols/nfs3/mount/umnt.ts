import { procedure } from '../../rpc/rpc-program.js';
import { nothing, struct } from '../../xdr/codec.js';
import type { MountProcedure } from './mount-procedure.js';
import { path } from './path.js';

/** UMNT: nothing was remembered, so there is nothing to forget (RFC 1813, section 5.2.3; see `dump`). */
export const umnt: MountProcedure = () =>
  procedure({ name: 'UMNT', args: struct({ path }), result: nothing, handle: () => undefined });
