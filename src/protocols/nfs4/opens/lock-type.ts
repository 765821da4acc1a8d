import { enumeration } from '../../xdr/codec.js';

/** nfs_lock_type4: for reading or writing, and whether the client would wait. Nothing here ever has to. */
export const lockType = enumeration({ read: 1, write: 2, readAndWait: 3, writeAndWait: 4 });

/** Whether a lock is for writing. */
export function isForWriting(type: ReturnType<typeof lockType.decode>): boolean {
  return type === 'write' || type === 'writeAndWait';
}
