import { procedure } from '../../rpc/rpc-program.js';
import { nothing } from '../../xdr/codec.js';
import type { Nfs3Procedure } from '../node-procedure.js';

/** NULL: does nothing (RFC 1813, section 3.3.0). */
export const nullProcedure: Nfs3Procedure = () =>
  procedure({ name: 'NULL', args: nothing, result: nothing, handle: () => undefined });
