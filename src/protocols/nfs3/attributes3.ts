import { FILE_SYSTEM_ID, OWNER, type NodeAttributes } from '../nfs/attributes.js';
import { enumeration, optional, position64, struct, uint32, uint64, type Infer } from '../xdr/codec.js';

/** ftype3 (RFC 1813, section 2.5). */
export const FILE_TYPES = { REG: 1, DIR: 2, BLK: 3, CHR: 4, LNK: 5, SOCK: 6, FIFO: 7 } as const;

/** nfstime3. */
export const time3 = struct({ seconds: uint32, nanoseconds: uint32 });

/** specdata3: the numbers of a device. */
export const device3 = struct({ major: uint32, minor: uint32 });

/** fattr3 (RFC 1813, section 2.5). */
export const attributes3 = struct({
  type: enumeration(FILE_TYPES),
  mode: uint32,
  links: uint32,
  uid: uint32,
  gid: uint32,
  size: position64,
  used: position64,
  device: device3,
  fileSystemId: uint64,
  fileId: uint64,
  accessTime: time3,
  modifyTime: time3,
  changeTime: time3,
});

export type Attributes3 = Infer<typeof attributes3>;

/** post_op_attr: attributes, where they could be had. */
export const postOpAttributes = optional(attributes3);

/** wcc_attr: what a mutation may compare. */
const comparedAttributes = struct({ size: position64, modifyTime: time3, changeTime: time3 });

/** wcc_data: attributes before and after a mutation. */
export const changedAttributes = struct({
  before: optional(comparedAttributes),
  after: postOpAttributes,
});

/** wcc_data of a mutation that did not take place: what is there now. */
export function unchanged(after: Attributes3 | undefined): Infer<typeof changedAttributes> {
  return { before: undefined, after };
}

/** The attributes of a node as version 3 has them. */
export function toAttributes3(node: NodeAttributes): Attributes3 {
  return {
    type: node.kind === 'directory' ? 'DIR' : 'REG',
    mode: node.mode,
    links: node.links,
    ...OWNER,
    size: node.size,
    used: node.size,
    device: { major: 0, minor: 0 },
    // A single number in this version; the major one alone tells our file system from others.
    fileSystemId: FILE_SYSTEM_ID.major,
    fileId: node.fileId,
    // Reading changes nothing, not even this: all times are those of the content.
    accessTime: node.time,
    modifyTime: node.time,
    changeTime: node.time,
  };
}
