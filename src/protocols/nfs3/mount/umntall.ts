import { procedure } from '../../rpc/rpc-program.js';
import { nothing } from '../../xdr/codec.js';
import type { MountProcedure } from './mount-procedure.js';

/** UMNTALL: as UMNT, nothing to forget (RFC 1813, section 5.2.4). */
export const umntall: MountProcedure = () =>
  procedure({ name: 'UMNTALL', args: nothing, result: nothing, handle: () => undefined });
