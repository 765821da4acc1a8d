import type { Extent } from '../../core/byte-range.js';
import { isCalyxError } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import { DiskCatalog } from '../catalog-reader.js';
import { KeptContent } from '../kept-content.js';
import type { ManifestFile } from '../manifest.js';
import type { StoreLayout } from '../store-layout.js';
import { storedRevisions } from '../stored-revisions.js';
import type { HashResult } from './hash-file.js';
import type { HashPool } from './hash-pool.js';
import type { SourceFile } from './scan.js';

/** Recognises files whose content a model's revisions have already, so that they need not be copied again. */
export class PublishedContent {
  readonly #kept: KeptContent;
  readonly #model: ModelName;
  /** By path, the newest first. */
  readonly #files = new Map<string, ManifestFile[]>();

  private constructor(layout: StoreLayout, model: ModelName) {
    this.#kept = new KeptContent(layout);
    this.#model = model;
  }

  /** Reads the manifests of all revisions of a model; those that are damaged are passed over. */
  static async open(layout: StoreLayout, model: ModelName): Promise<PublishedContent> {
    const content = new PublishedContent(layout, model);
    const catalog = new DiskCatalog(layout);
    for (const { revision } of await storedRevisions(layout, model)) {
      const found = await catalog.resolve({ model, revision }).catch((error: unknown) => {
        if (!isCalyxError(error, 'not-found', 'corrupt')) throw error;
        return undefined;
      });
      for (const file of found?.manifest.files ?? []) {
        const known = content.#files.get(file.path) ?? [];
        content.#files.set(file.path, known);
        if (!known.some(({ blob }) => blob === file.blob)) known.push(file);
      }
    }
    return content;
  }

  /**
   * Compares a file, chunk by chunk until one differs, with what stood under the same path. The published copy is only looked at:
   * whether its bytes are still right is for `calyx verify`.
   */
  async find(file: SourceFile, tensors: readonly Extent[], pool: HashPool): Promise<HashResult | undefined> {
    for (const known of this.#files.get(file.path) ?? []) {
      const { size, blob, chunkDigests } = known;
      if (size !== file.size || !isCutAlike(known.tensors, tensors)) continue;
      if (!(await this.#kept.has(this.#model, known))) continue;
      const job = { path: file.realPath, size, tensors: tensors.map(plain), chunkDigests, untilBad: true };
      const bad = await pool.check(job, () => undefined);
      if (bad.length === 0) return { blob, chunkDigests };
    }
    return undefined;
  }
}

function isCutAlike(a: readonly Extent[], b: readonly Extent[]): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ offset, length }, index) => {
    const other = b[index];
    return other?.offset === offset && other.length === length;
  });
}

function plain({ offset, length }: Extent): Extent {
  return { offset, length };
}
