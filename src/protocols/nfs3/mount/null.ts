import { procedure } from '../../rpc/rpc-program.js';
import { nothing } from '../../xdr/codec.js';
import type { MountProcedure } from './mount-procedure.js';

/** NULL: does nothing (RFC 1813, section 5.2.0). */
export const mountNull: MountProcedure = () =>
  procedure({ name: 'NULL', args: nothing, result: nothing, handle: () => undefined });
