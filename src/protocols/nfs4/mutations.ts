import { MAX_READ_BYTES } from '../nfs/limits.js';
import {
  array,
  bool,
  nothing,
  opaque,
  struct,
  uint32,
  uint64,
  union,
  type AnyCodec,
  type Codec,
  type Infer,
} from '../xdr/codec.js';
import { newAttributes } from './opens/open-arguments.js';
import { component, componentName } from './operations/component.js';
import type { Compound, Operation } from './operation.js';
import { stateId } from './state-id.js';
import { NFS4, Nfs4Error } from './status.js';

/** More than the largest request of a session has. */
const MAX_DATA_BYTES = 2 * MAX_READ_BYTES;
const MAX_TEXT_BYTES = 4096;
const MAX_SERVERS = 16;

const text = opaque(MAX_TEXT_BYTES);
const range = struct({ stateId, offset: uint64, length: uint64 });
const typeOfNewFile = union({
  regular: [1, nothing],
  directory: [2, nothing],
  blockDevice: [3, struct({ major: uint32, minor: uint32 })],
  characterDevice: [4, struct({ major: uint32, minor: uint32 })],
  link: [5, text],
  socket: [6, nothing],
  pipe: [7, nothing],
  attributeDirectory: [8, nothing],
  namedAttribute: [9, nothing],
});
const serverOfCopy = union({
  name: [1, text],
  url: [2, text],
  address: [3, struct({ netId: text, address: text })],
});

/**
 * What follows the status of SETATTR, whichever it is: the attributes that were set, none (RFC 8881, section
 * 18.30.2).
 */
const NO_ATTRIBUTES_SET = 0;

/**
 * Every operation that would change something: its arguments are read, and the file system is read-only
 * (NFS4ERR_ROFS).
 */
export const mutations: ReadonlyMap<number, Operation> = new Map([
  [5, refused('COMMIT', struct({ offset: uint64, count: uint32 }))],
  [6, refused('CREATE', struct({ type: typeOfNewFile, name: component, attributes: newAttributes }), named)],
  [11, refused('LINK', struct({ name: component }), named, needsSaved)],
  [28, refused('REMOVE', struct({ name: component }), named)],
  [29, refused('RENAME', struct({ from: component, name: component }), namedFrom, named, needsSaved)],
  [
    34,
    {
      ...refused('SETATTR', struct({ stateId, attributes: newAttributes })),
      failure: (result) => result.uint32(NO_ATTRIBUTES_SET),
    },
  ],
  [38, refused('WRITE', struct({ stateId, offset: uint64, stable: uint32, data: opaque(MAX_DATA_BYTES) }))],
  // From here on minor version 2 (RFC 7862).
  [59, refused('ALLOCATE', range)],
  [
    60,
    refused(
      'COPY',
      struct({
        source: stateId,
        target: stateId,
        sourceOffset: uint64,
        targetOffset: uint64,
        count: uint64,
        consecutive: bool,
        synchronous: bool,
        servers: array(serverOfCopy, MAX_SERVERS),
      }),
      needsSaved,
    ),
  ],
  [62, refused('DEALLOCATE', range)],
  [
    70,
    refused(
      'WRITE_SAME',
      struct({
        stateId,
        stable: uint32,
        offset: uint64,
        blockBytes: uint64,
        blocks: uint64,
        numberOffset: uint64,
        number: uint32,
        patternOffset: uint64,
        pattern: opaque(MAX_DATA_BYTES),
      }),
    ),
  ],
  [
    71,
    refused(
      'CLONE',
      struct({ source: stateId, target: stateId, sourceOffset: uint64, targetOffset: uint64, count: uint64 }),
      needsSaved,
    ),
  ],
]);

type Check<Args> = (args: Args, compound: Compound) => void;

/** An operation that decodes, makes sure that the request means something, and refuses it. */
function refused<C extends AnyCodec & Codec<Infer<C>>>(
  name: string,
  args: C,
  ...checks: readonly Check<Infer<C>>[]
): Operation {
  return {
    name,
    call: (reader, _, compound) => {
      const decoded = args.decode(reader) as Infer<C>;
      if (compound.current === undefined) throw new Nfs4Error(NFS4.NOFILEHANDLE);
      for (const check of checks) check(decoded, compound);
      throw new Nfs4Error(NFS4.ROFS);
    },
  };
}

function named({ name }: { readonly name: Uint8Array }): void {
  componentName(name);
}

function namedFrom({ from }: { readonly from: Uint8Array }): void {
  componentName(from);
}

function needsSaved(_: unknown, compound: Compound): void {
  if (compound.saved === undefined) throw new Nfs4Error(NFS4.NOFILEHANDLE);
}
