import { createHash } from 'node:crypto';
import type { Digest } from '../../../core/digest.js';

/** The text that stands in a git repository for a file of Git LFS (its specification, version 1). */
export function lfsPointer(sha256: Digest, size: number): string {
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
}

/** The id of an object of git: 40 hex digits. */
function objectId(type: 'blob' | 'tree', content: Uint8Array): string {
  return createHash('sha1').update(`${type} ${content.byteLength}\0`).update(content).digest('hex');
}

/** The id of a file of git. */
export function gitBlobId(content: string): string {
  return objectId('blob', Buffer.from(content));
}

/** An entry of a directory of git. */
export interface GitEntry {
  readonly name: string;
  readonly directory: boolean;
  /** 40 hex digits. */
  readonly id: string;
}

/** The id of a directory of git. */
export function gitTreeId(entries: readonly GitEntry[]): string {
  const rows = entries.map(({ name, directory, id }) => ({
    // Git sorts directories as if their names ended with a slash.
    key: Buffer.from(directory ? `${name}/` : name),
    row: Buffer.concat([Buffer.from(`${directory ? '40000' : '100644'} ${name}\0`), Buffer.from(id, 'hex')]),
  }));
  rows.sort((a, b) => Buffer.compare(a.key, b.key));
  return objectId('tree', Buffer.concat(rows.map(({ row }) => row)));
}
