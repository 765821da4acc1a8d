import { operationError } from './errors.js';
import type { Operation } from './operation.js';
import { access } from './operations/access.js';
import { getattr } from './operations/getattr.js';
import { getfh } from './operations/getfh.js';
import { ioAdvise } from './operations/io-advise.js';
import { lookup } from './operations/lookup.js';
import { lookupp } from './operations/lookupp.js';
import { notSupported } from './operations/not-supported.js';
import { putfh } from './operations/putfh.js';
import { putpubfh, putrootfh } from './operations/putrootfh.js';
import { read } from './operations/read.js';
import { readdir } from './operations/readdir.js';
import { readlink } from './operations/readlink.js';
import { restorefh } from './operations/restorefh.js';
import { savefh } from './operations/savefh.js';
import { secinfoNoName } from './operations/secinfo-no-name.js';
import { secinfo } from './operations/secinfo.js';
import { seek } from './operations/seek.js';
import { nverify, verify } from './operations/verify.js';

const OPERATIONS: readonly (readonly [number, Operation])[] = [
  [3, access],
  [9, getattr],
  [10, getfh],
  [15, lookup],
  [16, lookupp],
  [17, nverify],
  [22, putfh],
  [23, putpubfh],
  [24, putrootfh],
  [25, read],
  [26, readdir],
  [27, readlink],
  [31, restorefh],
  [32, savefh],
  [33, secinfo],
  [37, verify],
  [52, secinfoNoName],
  // From here on minor version 2 (RFC 7862).
  [63, ioAdvise],
  // Without it a client uses READ, which gives the same bytes as there are no holes to skip.
  [68, notSupported('READ_PLUS')],
  [69, seek],
  // As xattr_support says (RFC 8276, section 8.4).
  [72, notSupported('GETXATTR')],
  [73, notSupported('SETXATTR')],
  [74, notSupported('LISTXATTRS')],
  [75, notSupported('REMOVEXATTR')],
];

/**
 * The operations on files and directories, by number: part of the dispatch table. What they throw is a Nfs4Error or an XdrError;
 * other failures were told to `exports.onError`.
 */
export const fileOperations: ReadonlyMap<number, Operation> = new Map(
  OPERATIONS.map(([number, operation]) => [number, reporting(operation)]),
);

function reporting(operation: Operation): Operation {
  return {
    ...operation,
    call: (args, result, compound) => {
      const fail = (error: unknown): never => {
        throw operationError(error, operation.name, compound);
      };
      try {
        const status = operation.call(args, result, compound);
        return status instanceof Promise ? status.catch(fail) : status;
      } catch (error) {
        return fail(error);
      }
    },
  };
}
