import { partFile, partOfFile, type PartId } from '../../weights/parts.js';
import { INDEX_FILE } from '../../weights/model-directory.js';
import type { ResolvedRevision } from '../catalog-reader.js';
import { literalFile, segmentLength, type FileNode, type TreeFile } from '../file-tree.js';
import { formatSliceSpec, partsOfSlice, type SliceSpec } from '../slice-spec.js';
import { partContent, SLICE_FILE, sliceFiles, supportFiles, wholeFile } from '../slice.js';
import { encodeHandle, nameKey, revisionKey, type NodeName, type RevisionName } from './handle.js';
import { identify } from './node-identity.js';
import { Recent } from '../../core/recent.js';

/** Files kept: to make one anew costs little, but a client asks for the same ones again and again. */
const KEPT_FILES = 16_384;
/** Bytes of literals kept, such as the headers of parts: laying one out takes long for a large model. */
const KEPT_LITERAL_BYTES = 16 * 1024 * 1024;
/** What an object weighs beside its literals. */
const FILE_WEIGHT = KEPT_LITERAL_BYTES / KEPT_FILES;

/** Slices whose index is kept. */
const KEPT_SLICES = 8;

/** Makes the files of revisions and of slices, and keeps those used last. */
export class RevisionFiles {
  readonly #nodes = new Recent<string, FileNode>(KEPT_LITERAL_BYTES);
  readonly #slices = new Recent<string, ReadonlyMap<string, TreeFile>>(KEPT_SLICES);

  /** The file with this ordinal, or undefined. */
  file(revision: ResolvedRevision, file: number): FileNode | undefined {
    const found = revision.manifest.files[file];
    if (found === undefined) return undefined;
    return this.#node(revision, { kind: 'file', file, ...keysOf(revision) }, () => wholeFile(found));
  }

  /** A part of the revision, or undefined if it has no such block. */
  part(revision: ResolvedRevision, part: PartId): FileNode | undefined {
    if (typeof part === 'number' && part >= revision.manifest.blockCount) return undefined;
    return this.#node(revision, { kind: 'part', part, ...keysOf(revision) }, () =>
      partContent(revision.manifest, part),
    );
  }

  /** The index of a slice, or the file that says what the slice is; undefined if it has no index. */
  aboutSlice(
    revision: ResolvedRevision,
    kind: 'slice-index' | 'slice-about',
    spec: SliceSpec,
  ): FileNode | undefined {
    // A slice of a GGUF model has none.
    if (kind === 'slice-index' && revision.manifest.format === 'gguf') return undefined;
    return this.#node(revision, { kind, spec, ...keysOf(revision) }, () => {
      const file = this.#slice(revision, spec).get(kind === 'slice-index' ? INDEX_FILE : SLICE_FILE);
      if (file === undefined) throw new Error(`a slice has no ${kind}`);
      return file;
    });
  }

  /** A file of the Hugging Face cache layout that names a revision. */
  ref(revision: ResolvedRevision): FileNode {
    return this.#node(revision, { kind: 'hub-ref', ...keysOf(revision) }, () =>
      literalFile(revision.revision),
    );
  }

  /** The names of the files of a slice, in the order of a listing. */
  sliceNames(revision: ResolvedRevision, spec: SliceSpec): string[] {
    const { manifest } = revision;
    return [
      ...supportFiles(manifest).map((file) => file.path),
      ...partsOfSlice(spec, manifest.blockCount).map((part) => partFile(part, manifest.format)),
      ...(manifest.format === 'gguf' ? [] : [INDEX_FILE]),
      SLICE_FILE,
    ];
  }

  /** A file of a slice, or undefined. */
  sliceFile(revision: ResolvedRevision, spec: SliceSpec, name: string): FileNode | undefined {
    if (name === INDEX_FILE) return this.aboutSlice(revision, 'slice-index', spec);
    if (name === SLICE_FILE) return this.aboutSlice(revision, 'slice-about', spec);
    const part = partOfFile(name, revision.manifest.format);
    if (part !== undefined)
      return partsOfSlice(spec, revision.manifest.blockCount).includes(part)
        ? this.part(revision, part)
        : undefined;
    const support = supportFiles(revision.manifest).find((file) => file.path === name);
    return support && this.file(revision, revision.manifest.files.indexOf(support));
  }

  #slice(revision: ResolvedRevision, spec: SliceSpec): ReadonlyMap<string, TreeFile> {
    const { model, revision: key } = keysOf(revision);
    const slice = `${model} ${key} ${formatSliceSpec(spec)}`;
    const kept = this.#slices.get(slice);
    if (kept !== undefined) return kept;
    const files = sliceFiles(revision, partsOfSlice(spec, revision.manifest.blockCount));
    this.#slices.set(slice, files);
    return files;
  }

  #node(revision: ResolvedRevision, name: NodeName, content: () => TreeFile): FileNode {
    const key = Buffer.from(encodeHandle(name)).toString('latin1');
    const kept = this.#nodes.get(key);
    if (kept !== undefined) return kept;
    const { handle, fileId, fixed } = identify(name);
    const { size, segments } = content();
    const node: FileNode = {
      kind: 'file',
      size,
      segments,
      handle,
      fileId,
      version: () => fixed,
      revision: { model: revision.model, revision: revision.revision },
    };
    const literals = segments.reduce(
      (sum, segment) => sum + ('literal' in segment ? segmentLength(segment) : 0),
      0,
    );
    this.#nodes.set(key, node, FILE_WEIGHT + literals);
    return node;
  }
}

const keys = new WeakMap<ResolvedRevision, RevisionName>();

/** The keys under which handles name a revision. */
export function keysOf(revision: ResolvedRevision): RevisionName {
  let found = keys.get(revision);
  if (found === undefined) {
    found = { model: nameKey(revision.model), revision: revisionKey(revision) };
    keys.set(revision, found);
  }
  return found;
}
