import type { Operation } from '../operation.js';
import { NFS4 } from '../status.js';

/** An operation that answers NFS4ERR_NOTSUPP. A status other than OK ends the compound, so arguments need not be read. */
export function notSupported(name: string): Operation {
  return { name, call: () => NFS4.NOTSUPP };
}
