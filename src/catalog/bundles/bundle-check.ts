import type { Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import type { BundleIndex } from '../../storage/bundles/bundle-index.js';
import type { BadChunk } from '../ingest/hash-file.js';
import type { HashPool, OnBytes } from '../ingest/hash-pool.js';
import type { Manifest, ManifestFile } from '../manifest.js';
import type { StoreLayout } from '../store-layout.js';
import { ChunkPlaces, chunksOfFile } from './chunk-places.js';

/** Compares bundles with their indexes, each once. */
export class BundleCheck {
  readonly #layout: StoreLayout;
  readonly #pool: HashPool;
  readonly #onBytes: OnBytes;
  readonly #checked = new Map<Digest, Promise<BadChunk[]>>();
  #places: Promise<ChunkPlaces> | undefined;

  constructor(layout: StoreLayout, pool: HashPool, onBytes: OnBytes) {
    this.#layout = layout;
    this.#pool = pool;
    this.#onBytes = onBytes;
  }

  /** The bundles in which files lie, with their sizes in bytes. */
  async sizes(files: readonly ManifestFile[]): Promise<Map<Digest, number>> {
    const places = await this.#read();
    const used = new Set(
      files.flatMap((file) => places.runs(chunksOfFile(file)) ?? []).map(({ bundle }) => bundle),
    );
    return new Map(
      places.bundles.filter(({ id }) => used.has(id)).map(({ id, offsets }) => [id, offsets.at(-1) ?? 0]),
    );
  }

  /**
   * The chunks of a file that are not what they should be, and the bundles in which these lie; undefined if it is not in bundles. Rejects
   * with what ended the pool's jobs early.
   */
  async badChunks(
    manifest: Manifest,
    file: ManifestFile,
  ): Promise<(BadChunk & { readonly path: string })[] | undefined> {
    const places = await this.#read();
    const runs = places.runs(chunksOfFile(file));
    if (runs === undefined) return undefined;
    const cuts = manifest.layout(file);
    const bad = new Map<number, BadChunk & { readonly path: string }>();
    for (const { bundle, start, end, offset } of runs) {
      for (const chunk of await this.#check(places, bundle)) {
        const position = start + chunk.offset - offset;
        if (position < start || position >= end) continue;
        const index = cuts.indexAt(position);
        bad.set(index, { index, ...cuts.extent(index), path: this.#layout.bundle(bundle) });
      }
    }
    return [...bad.values()];
  }

  #read(): Promise<ChunkPlaces> {
    this.#places ??= ChunkPlaces.read(this.#layout);
    return this.#places;
  }

  #check(places: ChunkPlaces, id: Digest): Promise<BadChunk[]> {
    let checked = this.#checked.get(id);
    if (checked === undefined) {
      const bundle = places.bundles.find((one) => one.id === id);
      if (bundle === undefined) throw new CalyxError('internal', `no bundle ${id}`);
      checked = this.#pool.check(jobOf(this.#layout, bundle), this.#onBytes);
      this.#checked.set(id, checked);
    }
    return checked;
  }
}

function jobOf(layout: StoreLayout, { id, chunks, offsets }: BundleIndex): Parameters<HashPool['check']>[0] {
  return {
    path: layout.bundle(id),
    size: offsets.at(-1) ?? 0,
    tensors: chunks.map(({ length }, index) => ({ offset: offsets[index] ?? 0, length })),
    chunkDigests: Buffer.from(chunks.map(({ digest }) => digest).join(''), 'hex'),
  };
}
