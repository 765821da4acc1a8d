import { relative, resolve } from 'node:path';
import { originRecords } from '../../catalog/origin/publish-origin.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName, type ModelSpec } from '../../core/names.js';
import { DiskCatalog, type ResolvedRevision } from '../../catalog/catalog-reader.js';
import { HashPool, type OnBytes } from '../../catalog/ingest/hash-pool.js';
import { BundleCheck } from '../../catalog/bundles/bundle-check.js';
import type { ManifestFile } from '../../catalog/manifest.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { sizeOf } from '../../storage/files/size-of.js';
import { verifyRevision, type Finding } from '../../catalog/verify-revision.js';

/** Options of {@link verifyStore}. */
export interface VerifyOptions {
  readonly dataDirectory: string;
  /** One revision; without it all revisions of all models. */
  readonly only?: ModelSpec;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: OnBytes;
}

/** What reading a revision again showed. */
export interface VerifiedRevision {
  readonly model: string;
  readonly revision: string;
  readonly bytes: number;
  readonly findings: readonly Finding[];
}

/**
 * Reads all content of a store's data directory again, each blob once; what lies in object storage is passed over. What cannot be read of one model is a finding and does not stop the
 * others. Rejects with CalyxError `not-found` if `only` names nothing.
 */
export async function verifyStore(options: VerifyOptions): Promise<VerifiedRevision[]> {
  const layout = new StoreLayout(resolve(options.dataDirectory));
  const catalog = new DiskCatalog(layout);
  const verified: VerifiedRevision[] = [];
  const revisions: ResolvedRevision[] = [];
  for (const spec of options.only === undefined ? await allRevisions(catalog) : [options.only]) {
    try {
      const revision = await catalog.resolve(spec);
      if (!(await originRecords(layout, revision.model)).has(revision.revision)) revisions.push(revision);
      else if (options.only !== undefined) throw inObjectStorage(revision);
    } catch (error) {
      if (!isDamage(error) || options.only !== undefined) throw error;
      verified.push(damaged(layout, spec, error.message));
    }
  }
  const checked = new Map<string, Promise<Finding[]>>();
  const pool = new HashPool({ signal: options.signal });
  const onBytes = options.onBytes ?? (() => undefined);
  const bundles = new BundleCheck(layout, pool, onBytes);
  try {
    const sizes = await sizesOf(layout, revisions, bundles);
    options.onTotal?.([...sizes.values()].reduce((sum, size) => sum + size, 0));
    for (const revision of revisions) {
      const findings = await verifyRevision(layout, revision, pool, onBytes, bundles, checked);
      options.signal.throwIfAborted();
      verified.push({
        model: formatModelName(revision.model),
        revision: revision.revision,
        bytes: revision.manifest.totalBytes,
        findings,
      });
    }
    return verified;
  } finally {
    await pool.close();
  }
}

/** The bytes of each file that is to be read, by its path or the id of its bundle. */
async function sizesOf(
  layout: StoreLayout,
  revisions: readonly ResolvedRevision[],
  bundles: BundleCheck,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>();
  const bundled: ManifestFile[] = [];
  for (const { model, manifest } of revisions) {
    for (const file of manifest.files) {
      const path = layout.blob(model, file.blob);
      if ((await sizeOf(path)) === undefined) bundled.push(manifest.fileOfBlob(file.blob) ?? file);
      else sizes.set(path, file.size);
    }
  }
  for (const [id, size] of await bundles.sizes(bundled)) sizes.set(id, size);
  return sizes;
}

function inObjectStorage({ model, revision }: ResolvedRevision): CalyxError {
  return new CalyxError(
    'unsupported',
    `the content of ${formatModelName(model)}@${revision} lies in object storage`,
    {
      hint: 'the store compares each chunk with the manifest when it comes from there; there is nothing to verify here',
    },
  );
}

/** What `main` names, though its record may be damaged, and every other revision: all of them are served. */
async function allRevisions(catalog: DiskCatalog): Promise<ModelSpec[]> {
  const specs: ModelSpec[] = [];
  for (const model of await catalog.models()) {
    const main = await currentRevision(catalog, model);
    const others = (await catalog.revisions(model)).filter((revision) => revision !== main);
    specs.push(...[DEFAULT_REF, ...others].map((revision) => ({ model, revision })));
  }
  return specs;
}

async function currentRevision(catalog: DiskCatalog, model: ModelName): Promise<string | undefined> {
  try {
    return (await catalog.refs(model)).get(DEFAULT_REF)?.revision;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

/** True for an error that lies in the records of one model. */
function isDamage(error: unknown): error is Error {
  return isCalyxError(error, 'corrupt', 'unreadable', 'not-found');
}

function damaged(layout: StoreLayout, { model, revision }: ModelSpec, problem: string): VerifiedRevision {
  const recordPath =
    revision === DEFAULT_REF ? layout.ref(model, revision) : layout.revision(model, revision);
  const path = relative(layout.root, recordPath);
  return {
    model: formatModelName(model),
    revision,
    bytes: 0,
    findings: [{ path, blobPath: recordPath, problem }],
  };
}
