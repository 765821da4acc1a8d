import type { TreeNode } from '../../../catalog/file-tree.js';
import type { ExportStatistics } from '../../nfs/exports.js';
import type { NodeAttributes } from '../../nfs/attributes.js';
import type { Codec } from '../../xdr/codec.js';
import type { XdrWriter } from '../../xdr/xdr-writer.js';

/** What values of attributes are made of. */
export interface AttributeSubject {
  readonly node: TreeNode;
  readonly attributes: NodeAttributes;
  readonly minorVersion: 1 | 2;
  /** Zeros unless an attribute is asked for that needs them. */
  readonly statistics: ExportStatistics;
}

/** A readable attribute (RFC 8881, section 5). */
export interface Attribute {
  readonly number: number;
  readonly name: string;
  readonly needsStatistics: boolean;
  write(writer: XdrWriter, subject: AttributeSubject): void;
}

/** An attribute whose value is always at hand. */
export function attribute<T>(
  number: number,
  name: string,
  codec: Codec<T>,
  value: (subject: AttributeSubject) => T,
): Attribute {
  return {
    number,
    name,
    needsStatistics: false,
    write: (writer, subject) => codec.encode(writer, value(subject)),
  };
}

/** An attribute of the file system that has to be counted. */
export function countedAttribute<T>(
  number: number,
  name: string,
  codec: Codec<T>,
  value: (statistics: ExportStatistics) => T,
): Attribute {
  return { ...attribute(number, name, codec, ({ statistics }) => value(statistics)), needsStatistics: true };
}
