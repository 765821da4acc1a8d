import { ChunkLayout } from '../../core/chunking.js';
import { DIGEST_BYTES, type Digest } from '../../core/digest.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import type { ChunkDigest } from '../../storage/chunk-lookup.js';
import type { StoredObject } from '../../storage/object-bucket.js';
import type { Manifest, ManifestFile } from '../manifest.js';
import type { OriginRecord } from './origin-record.js';

/** Where a blob lies in the bucket. */
export interface OriginObject {
  readonly object: StoredObject;
  /** `ORG/NAME@REVISION` */
  readonly owner: string;
}

interface Blob {
  readonly layout: ChunkLayout;
  readonly chunkDigests: Uint8Array;
  /** The newest first. */
  objects: { readonly model: string; readonly revision: string; readonly place: OriginObject }[];
}

/** Where the blobs of models in object storage lie and how they are cut; in memory, 40 bytes for each chunk. */
export class OriginIndex {
  readonly #blobs = new Map<Digest, Blob>();
  readonly #revisions = new Map<string, Map<string, readonly Digest[]>>();

  /** Learns a revision, of which the record must tell. */
  add(model: ModelName, revision: string, manifest: Manifest, record: OriginRecord): void {
    const name = formatModelName(model);
    this.#drop(name, revision);
    const paths = new Map(record.files.map((file) => [file.path, file]));
    const owner = `${name}@${revision}`;
    // The one with tensors last, as the manifest sees it: the same content may also stand beside the weights.
    const files = [...manifest.files].sort((a, b) => a.tensors.length - b.tensors.length);
    for (const file of files) {
      const from = paths.get(file.path);
      if (from === undefined) continue;
      const object = { key: `${name}/${file.path}`, size: from.size, version: from.version };
      const known = this.#blobs.get(file.blob);
      const blob = known === undefined || file.tensors.length > 0 ? cut(file, known) : known;
      blob.objects.unshift({ model: name, revision, place: { object, owner } });
      this.#blobs.set(file.blob, blob);
    }
    const revisions = this.#revisions.get(name) ?? new Map<string, readonly Digest[]>();
    revisions.set(revision, [...new Set(files.map(({ blob }) => blob))]);
    this.#revisions.set(name, revisions);
  }

  /** Forgets all revisions of a model. */
  remove(model: ModelName): void {
    const name = formatModelName(model);
    for (const revision of [...(this.#revisions.get(name)?.keys() ?? [])]) this.#drop(name, revision);
    this.#revisions.delete(name);
  }

  /** True if a blob lies in the bucket, or did when its manifest was made. */
  has(blob: Digest): boolean {
    return this.#blobs.has(blob);
  }

  /** True if a revision of the model has the blob. */
  holds(model: ModelName, blob: Digest): boolean {
    const name = formatModelName(model);
    return this.#blobs.get(blob)?.objects.some((object) => object.model === name) === true;
  }

  /** In bytes; undefined if the blob is not known. */
  size(blob: Digest): number | undefined {
    return this.#blobs.get(blob)?.layout.size;
  }

  /** The models that are known. */
  models(): string[] {
    return [...this.#revisions.keys()];
  }

  objects(blob: Digest): OriginObject[] {
    return this.#blobs.get(blob)?.objects.map(({ place }) => place) ?? [];
  }

  /** A `ChunkLookup`. */
  chunks(blob: Digest, offset: number, length: number): readonly ChunkDigest[] | undefined {
    const known = this.#blobs.get(blob);
    if (known === undefined || length === 0) return undefined;
    const { layout, chunkDigests } = known;
    if (offset >= layout.size) return undefined;
    const last = layout.indexAt(Math.min(offset + length, layout.size) - 1);
    const chunks: ChunkDigest[] = [];
    for (let index = layout.indexAt(offset); index <= last; index += 1) {
      const digest = chunkDigests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
      chunks.push({ ...layout.extent(index), digest: Buffer.from(digest).toString('hex') });
    }
    return chunks;
  }

  #drop(name: string, revision: string): void {
    for (const digest of this.#revisions.get(name)?.get(revision) ?? []) {
      const blob = this.#blobs.get(digest);
      if (blob === undefined) continue;
      blob.objects = blob.objects.filter((object) => object.model !== name || object.revision !== revision);
      if (blob.objects.length === 0) this.#blobs.delete(digest);
    }
    this.#revisions.get(name)?.delete(revision);
  }
}

function cut({ size, tensors, chunkDigests }: ManifestFile, known: Blob | undefined): Blob {
  // A copy, because a digest table may be a view of much more.
  return {
    layout: ChunkLayout.of(size, tensors),
    chunkDigests: Uint8Array.from(chunkDigests),
    objects: known?.objects ?? [],
  };
}
