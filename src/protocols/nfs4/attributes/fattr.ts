import type { TreeNode } from '../../../catalog/file-tree.js';
import { attributesOf } from '../../nfs/attributes.js';
import { opaque, struct, type Infer } from '../../xdr/codec.js';
import { XdrWriter } from '../../xdr/xdr-writer.js';
import type { Compound } from '../operation.js';
import { NFS4, Nfs4Error, type Nfs4Status } from '../status.js';
import type { Attribute, AttributeSubject } from './attribute.js';
import { readableAttributes, supportedAttributes, writeOnlyAttributes } from './attribute-table.js';
import { bitmap, bitmapOf, includes, isSubset, type Bitmap } from './bitmap.js';

/** Values that a client sends; all of ours together take a few hundred bytes. */
const MAX_VALUE_BYTES = 64 * 1024;
const RDATTR_ERROR = 11;
const ERROR_ONLY = bitmapOf([RDATTR_ERROR]);
const UINT32_BYTES = 4;
const NO_STATISTICS = { bytes: 0, files: 0 };

/** Attributes with their values (fattr4 of RFC 8881, section 3.3.7). */
export const fattr = struct({ mask: bitmap, values: opaque(MAX_VALUE_BYTES) });
export type Fattr = Infer<typeof fattr>;

/** Attributes that were asked for and that we have. */
export interface AttributeRequest {
  readonly mask: Bitmap;
  readonly attributes: readonly Attribute[];
  readonly needsStatistics: boolean;
  /** Whether attributes that cannot be had shall not fail the whole of READDIR. */
  readonly toleratesErrors: boolean;
}

/**
 * What of `asked` can be answered; the rest is left out (RFC 8881, section 18.7.3).
 *
 * @throws Nfs4Error `INVAL` if an attribute is asked for that can only be set
 */
export function requestOf(asked: Bitmap, minorVersion: 1 | 2): AttributeRequest {
  if (writeOnlyAttributes(minorVersion).some((number) => includes(asked, number)))
    throw new Nfs4Error(NFS4.INVAL);
  const attributes = readableAttributes(minorVersion).filter(({ number }) => includes(asked, number));
  return {
    mask: bitmapOf(attributes.map(({ number }) => number)),
    attributes,
    needsStatistics: attributes.some(({ needsStatistics }) => needsStatistics),
    toleratesErrors: includes(asked, RDATTR_ERROR),
  };
}

/** Gathers what the values of `request` are made of. */
export async function subjectOf(
  node: TreeNode,
  request: AttributeRequest,
  { exports, minorVersion, call }: Compound,
): Promise<AttributeSubject> {
  const attributes = await attributesOf(node);
  const statistics = request.needsStatistics ? await exports.statistics(call.connection.peer) : NO_STATISTICS;
  return { node, attributes, minorVersion, statistics };
}

/** Writes a fattr4. */
export function writeAttributes(
  writer: XdrWriter,
  request: AttributeRequest,
  subject: AttributeSubject,
): void {
  bitmap.encode(writer, request.mask);
  const setLength = writer.laterUint32();
  const start = writer.byteLength;
  for (const attribute of request.attributes) attribute.write(writer, subject);
  setLength(writer.byteLength - start);
}

/** Writes the fattr4 of an entry whose attributes could not be had: `rdattr_error` alone (section 5.8.1.12). */
export function writeFailedAttributes(writer: XdrWriter, status: Nfs4Status): void {
  bitmap.encode(writer, ERROR_ONLY);
  writer.uint32(UINT32_BYTES);
  writer.uint32(status);
}

/**
 * Whether `node` has these attributes with exactly these values (RFC 8881, section 18.30).
 *
 * @throws Nfs4Error `INVAL` for attributes that cannot be compared, `ATTRNOTSUPP` for those that we do not have
 */
export async function hasAttributes(node: TreeNode, expected: Fattr, compound: Compound): Promise<boolean> {
  const { minorVersion } = compound;
  const request = requestOf(expected.mask, minorVersion);
  if (request.toleratesErrors) throw new Nfs4Error(NFS4.INVAL);
  if (!isSubset(expected.mask, supportedAttributes(minorVersion))) throw new Nfs4Error(NFS4.ATTRNOTSUPP);
  const subject = await subjectOf(node, request, compound);
  const writer = new XdrWriter();
  for (const attribute of request.attributes) attribute.write(writer, subject);
  const { buffers } = writer.finish();
  return Buffer.concat(buffers).equals(expected.values);
}
