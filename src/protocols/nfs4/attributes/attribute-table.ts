import { FILE_SYSTEM_ID, OWNER } from '../../nfs/attributes.js';
import { MAX_NAME_BYTES, MAX_READ_BYTES } from '../../nfs/limits.js';
import {
  array,
  bool,
  enumeration,
  int64,
  opaque,
  position64,
  struct,
  text,
  uint32,
  uint64,
} from '../../xdr/codec.js';
import { LEASE_SECONDS } from '../lease-time.js';
import { MAX_HANDLE_BYTES } from '../limits.js';
import { NFS4 } from '../status.js';
import { attribute, countedAttribute, type Attribute, type AttributeSubject } from './attribute.js';
import { bitmap, bitmapOf, type Bitmap } from './bitmap.js';

const MAX_FILE_BYTES = (1n << 63n) - 1n;
const MAX_OWNER_BYTES = 16;
/** FH4_PERSISTENT: a handle is good as long as its file is. */
const PERSISTENT = 0;
/** FSCHARSET_CAP4_ALLOWS_ONLY_UTF8 */
const ONLY_UTF8 = 2;

const fileType = enumeration({ file: 1, directory: 2 });
const fileSystem = struct({ major: uint64, minor: uint64 });
const device = struct({ major: uint32, minor: uint32 });
const time = struct({ seconds: int64, nanoseconds: uint32 });
const changeType = enumeration({ monotonic: 0, versionCounter: 1, noPnfs: 2, timeMetadata: 3, undefined: 4 });

const changed = ({ attributes }: AttributeSubject): { seconds: bigint; nanoseconds: number } => ({
  seconds: BigInt(attributes.time.seconds),
  nanoseconds: attributes.time.nanoseconds,
});

/** All attributes that can be read, in the order of their numbers, which is the order of their values (RFC 8881, section 3.3.7). */
const ATTRIBUTES: readonly Attribute[] = [
  attribute(0, 'supported_attrs', bitmap, ({ minorVersion }) => supportedAttributes(minorVersion)),
  attribute(1, 'type', fileType, ({ node }) => node.kind),
  attribute(2, 'fh_expire_type', uint32, () => PERSISTENT),
  attribute(3, 'change', uint64, ({ attributes }) => attributes.change),
  attribute(4, 'size', position64, ({ attributes }) => attributes.size),
  attribute(5, 'link_support', bool, () => false),
  attribute(6, 'symlink_support', bool, () => false),
  attribute(7, 'named_attr', bool, () => false),
  attribute(8, 'fsid', fileSystem, () => FILE_SYSTEM_ID),
  attribute(9, 'unique_handles', bool, () => true),
  attribute(10, 'lease_time', uint32, () => LEASE_SECONDS),
  // Of an entry whose attributes could not be had it stands alone, see `writeFailedAttributes`.
  attribute(11, 'rdattr_error', uint32, () => NFS4.OK),
  attribute(13, 'aclsupport', uint32, () => 0),
  attribute(15, 'cansettime', bool, () => false),
  attribute(16, 'case_insensitive', bool, () => false),
  attribute(17, 'case_preserving', bool, () => true),
  attribute(18, 'chown_restricted', bool, () => true),
  attribute(19, 'filehandle', opaque(MAX_HANDLE_BYTES), ({ node }) => node.handle),
  attribute(20, 'fileid', uint64, ({ attributes }) => attributes.fileId),
  // Nothing can be added, so nothing is free.
  attribute(21, 'files_avail', position64, () => 0),
  attribute(22, 'files_free', position64, () => 0),
  countedAttribute(23, 'files_total', position64, ({ files }) => files),
  attribute(26, 'homogeneous', bool, () => true),
  attribute(27, 'maxfilesize', uint64, () => MAX_FILE_BYTES),
  attribute(28, 'maxlink', uint32, () => 1),
  attribute(29, 'maxname', uint32, () => MAX_NAME_BYTES),
  attribute(30, 'maxread', position64, () => MAX_READ_BYTES),
  // No write succeeds; but a client takes its write size from it and should not have to think about none.
  attribute(31, 'maxwrite', position64, () => MAX_READ_BYTES),
  attribute(33, 'mode', uint32, ({ attributes }) => attributes.mode),
  attribute(34, 'no_trunc', bool, () => true),
  attribute(35, 'numlinks', uint32, ({ attributes }) => attributes.links),
  // Numbers as text, which clients take as they are: no names have to be mapped (section 5.9).
  attribute(36, 'owner', text(MAX_OWNER_BYTES), () => String(OWNER.uid)),
  attribute(37, 'owner_group', text(MAX_OWNER_BYTES), () => String(OWNER.gid)),
  attribute(41, 'rawdev', device, () => ({ major: 0, minor: 0 })),
  attribute(42, 'space_avail', position64, () => 0),
  attribute(43, 'space_free', position64, () => 0),
  countedAttribute(44, 'space_total', position64, ({ bytes }) => bytes),
  attribute(45, 'space_used', position64, ({ attributes }) => attributes.size),
  attribute(47, 'time_access', time, changed),
  attribute(51, 'time_delta', time, () => ({ seconds: 0n, nanoseconds: 1 })),
  attribute(52, 'time_metadata', time, changed),
  attribute(53, 'time_modify', time, changed),
  attribute(55, 'mounted_on_fileid', uint64, ({ attributes }) => attributes.fileId),
  // No pNFS; the block size of layouts is there because Linux asks for it with the maxima.
  attribute(62, 'fs_layout_types', array(uint32, 0), () => []),
  attribute(65, 'layout_blksize', uint32, () => MAX_READ_BYTES),
  // Nothing can be created, exclusively or not.
  attribute(75, 'suppattr_exclcreat', bitmap, () => []),
  attribute(76, 'fs_charset_cap', uint32, () => ONLY_UTF8),
  // A version is made of the content, so a moved ref that moves back gets the old one again.
  attribute(79, 'change_attr_type', changeType, () => 'undefined'),
  attribute(82, 'xattr_support', bool, () => false),
];

/** The numbers from 77 on came with minor version 2 (RFC 7862, section 12). */
const FIRST_OF_MINOR_VERSION_2 = 77;

/** time_access_set, time_modify_set, layout_hint, retention_set, retentevt_set, mode_set_masked, mode_umask (RFC 8275) */
const WRITE_ONLY = [48, 54, 63, 70, 72, 74, 81];

const inMinorVersion1 = (number: number): boolean => number < FIRST_OF_MINOR_VERSION_2;

const READABLE = { 1: ATTRIBUTES.filter(({ number }) => inMinorVersion1(number)), 2: ATTRIBUTES };
const SUPPORTED = {
  1: bitmapOf(READABLE[1].map(({ number }) => number)),
  2: bitmapOf(READABLE[2].map(({ number }) => number)),
};
const WRITE_ONLY_ATTRIBUTES = { 1: WRITE_ONLY.filter(inMinorVersion1), 2: WRITE_ONLY };

/** The attributes that clients of a minor version may read. */
export function readableAttributes(minorVersion: 1 | 2): readonly Attribute[] {
  return READABLE[minorVersion];
}

/** Their numbers: exactly those that have a value. */
export function supportedAttributes(minorVersion: 1 | 2): Bitmap {
  return SUPPORTED[minorVersion];
}

/** The attributes that can only be set, whether or not we have them. */
export function writeOnlyAttributes(minorVersion: 1 | 2): readonly number[] {
  return WRITE_ONLY_ATTRIBUTES[minorVersion];
}
