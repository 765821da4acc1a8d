import { sha256, type Digest } from '../../../core/digest.js';
import { fileIdentity, type TreeFile } from '../../../catalog/file-tree.js';
import type { Manifest } from '../../../catalog/manifest.js';
import { gitBlobId, lfsPointer } from './git-objects.js';

/** What the Hub's API says of a file. */
export interface HubFile {
  /** Relative to the repository. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Of its content; undefined where nobody has computed it. */
  readonly sha256: Digest | undefined;
  /** Names the content: its SHA-256, or else something that nobody can take for one. */
  readonly identity: string;
}

/** A file whose SHA-256 is known. */
export function knownFile(path: string, size: number, digest: Digest): HubFile {
  return { path, size, sha256: digest, identity: digest };
}

/** A file of a slice. Of parts, which are ranges of blobs behind a header, nobody has computed a SHA-256. */
export function sliceFile(path: string, content: TreeFile, manifest: Manifest): HubFile {
  const known = knownDigest(content, manifest);
  // Clients compare what has 64 or 40 hex digits with the SHA-256 or SHA-1 of what they got.
  return { path, size: content.size, sha256: known, identity: known ?? `calyx-${fileIdentity(content)}` };
}

const literals = new WeakMap<TreeFile, Digest>();

/** The SHA-256 of a file, if no blob needs to be read for it. */
function knownDigest(file: TreeFile, manifest: Manifest): Digest | undefined {
  const [first] = file.segments;
  if (file.segments.length === 1 && first !== undefined && 'blob' in first) {
    const whole = first.offset === 0 && manifest.fileOfBlob(first.blob)?.size === first.length;
    return whole ? first.blob : undefined;
  }
  let digest = literals.get(file);
  if (digest === undefined) {
    const pieces = file.segments.flatMap((segment) => ('literal' in segment ? segment.literal : []));
    if (pieces.length < file.segments.length) return undefined;
    digest = sha256(...pieces);
    literals.set(file, digest);
  }
  return digest;
}

/** A file as one of Git LFS, which all are whose SHA-256 is known. */
export interface LfsInfo {
  /** SHA-256 of the content. */
  readonly oid: Digest;
  readonly size: number;
  readonly pointerSize: number;
}

/** What git and Git LFS would say of a file. `oid` names the pointer; where there is none, it is the file's identity, and no id of git. */
export function gitInfo(file: HubFile): { readonly oid: string; readonly lfs: LfsInfo | undefined } {
  if (file.sha256 === undefined) return { oid: file.identity, lfs: undefined };
  const pointer = lfsPointer(file.sha256, file.size);
  return {
    oid: gitBlobId(pointer),
    lfs: { oid: file.sha256, size: file.size, pointerSize: Buffer.byteLength(pointer) },
  };
}
