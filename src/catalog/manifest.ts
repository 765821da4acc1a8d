import { ChunkLayout } from '../core/chunking.js';
import { DIGEST_BYTES, type Digest } from '../core/digest.js';
import type { Extent } from '../core/byte-range.js';
import type { BlockMap } from '../weights/block-map.js';
import type { GgufMetadata } from '../weights/gguf/gguf-metadata.js';
import type { WeightFormat } from '../weights/parts.js';
import type { Tensor } from '../weights/tensor.js';

/** One file of a revision. */
export interface ManifestFile {
  /** Relative to the model's directory. */
  readonly path: string;
  readonly size: number;
  /** SHA-256 of the content: the name of its blob. */
  readonly blob: Digest;
  /** SHA-256 of each chunk, 32 bytes each, in order. */
  readonly chunkDigests: Uint8Array;
  /** Ascending by offset; empty for files other than weights. */
  readonly tensors: readonly Tensor[];
  /** What parts carry of the metadata; in the first weight file of a GGUF model and nowhere else. */
  readonly gguf?: GgufMetadata;
}

/** Extents of a file, ascending, at which its chunks are cut: the tensors, and the metadata that parts of a GGUF model read. */
export function fileCuts({ gguf, tensors }: Pick<ManifestFile, 'gguf' | 'tensors'>): readonly Extent[] {
  return gguf === undefined ? tensors : [...gguf.further, ...tensors];
}

/** A tensor and the file that holds it. */
export interface ManifestTensor extends Tensor {
  readonly file: ManifestFile;
}

/** A chunk: an extent of a blob and its SHA-256. */
export interface Chunk {
  readonly blob: Digest;
  readonly offset: number;
  readonly length: number;
  readonly digest: Digest;
}

/**
 * What a revision consists of. Immutable; its canonical bytes are made by `encodeManifest`. Parts refer to tensors by their
 * ordinal: counted over all files in order, ascending by offset in each.
 */
export class Manifest {
  /** Ascending by path. */
  readonly files: readonly ManifestFile[];
  readonly map: BlockMap;
  /** The file of a GGUF model that has the metadata; undefined for a model of safetensors. */
  readonly gguf: (ManifestFile & { readonly gguf: GgufMetadata }) | undefined;
  readonly #byPath: ReadonlyMap<string, ManifestFile>;
  readonly #byBlob: ReadonlyMap<Digest, ManifestFile>;
  readonly #firstOrdinals: readonly number[];
  // By file, not by blob: the same content may stand in the index as a shard and beside it as a file that nothing names.
  readonly #layouts = new Map<ManifestFile, ChunkLayout>();

  constructor(files: readonly ManifestFile[], map: BlockMap) {
    this.files = files;
    this.map = map;
    this.gguf = files.find(
      (file): file is ManifestFile & { readonly gguf: GgufMetadata } => file.gguf !== undefined,
    );
    this.#byPath = new Map(files.map((file) => [file.path, file]));
    // The same content may also stand beside the weights as a file that nothing names; how it is cut is known from the tensors.
    this.#byBlob = new Map(
      [...files].sort((a, b) => a.tensors.length - b.tensors.length).map((file) => [file.blob, file]),
    );
    let next = 0;
    this.#firstOrdinals = files.map((file) => (next += file.tensors.length) - file.tensors.length);
  }

  /** The number of blocks of the model. */
  get blockCount(): number {
    return this.map.blockCount;
  }

  /** The form of its weights, and so of its parts. */
  get format(): WeightFormat {
    return this.gguf === undefined ? 'safetensors' : 'gguf';
  }

  /** Bytes of all files: what a full copy takes. */
  get totalBytes(): number {
    return this.files.reduce((sum, file) => sum + file.size, 0);
  }

  /** The file at `path`, or undefined. */
  file(path: string): ManifestFile | undefined {
    return this.#byPath.get(path);
  }

  /** A file with this content, or undefined; the one with tensors if there are several. */
  fileOfBlob(blob: Digest): ManifestFile | undefined {
    return this.#byBlob.get(blob);
  }

  /** The tensor with this ordinal. */
  tensor(ordinal: number): ManifestTensor {
    let low = 0;
    let high = this.#firstOrdinals.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if ((this.#firstOrdinals[middle] ?? Infinity) <= ordinal) low = middle;
      else high = middle - 1;
    }
    const file = this.files[low];
    const tensor = file?.tensors[ordinal - (this.#firstOrdinals[low] ?? 0)];
    if (file === undefined || tensor === undefined) throw new RangeError(`no tensor ${ordinal}`);
    return { ...tensor, file };
  }

  /** Where the chunks of a file lie. */
  layout(file: ManifestFile): ChunkLayout {
    let layout = this.#layouts.get(file);
    if (layout === undefined) {
      layout = ChunkLayout.of(file.size, fileCuts(file));
      this.#layouts.set(file, layout);
    }
    return layout;
  }

  /** Chunk `index` of a file. */
  chunk(file: ManifestFile, index: number): Chunk {
    const { offset, length } = this.layout(file).extent(index);
    const digest = Buffer.from(
      file.chunkDigests.buffer,
      file.chunkDigests.byteOffset + index * DIGEST_BYTES,
      DIGEST_BYTES,
    );
    return { blob: file.blob, offset, length, digest: digest.toString('hex') };
  }

  /** The chunks that hold any byte of `[offset, offset + length)` of a file, in order. */
  *chunks(file: ManifestFile, offset: number, length: number): Generator<Chunk> {
    if (length === 0) return;
    const layout = this.layout(file);
    const last = layout.indexAt(offset + length - 1);
    for (let index = layout.indexAt(offset); index <= last; index += 1) yield this.chunk(file, index);
  }
}
