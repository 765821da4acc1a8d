import { resolve } from 'node:path';
import { DEFAULT_REF, formatModelName, type ModelSpec } from '../../core/names.js';
import { DiskCatalog, type ResolvedRevision } from '../../catalog/catalog-reader.js';
import { HashPool, type OnBytes } from '../../catalog/ingest/hash-pool.js';
import { StoreLayout } from '../../catalog/store-layout.js';
import { verifyRevision, type Finding } from '../../catalog/verify-revision.js';

/** Options of {@link verifyStore}. */
export interface VerifyOptions {
  readonly dataDirectory: string;
  /** One revision; without it the current ones of all models. */
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

/** Reads all content of a store again. Rejects with CalyxError `not-found` if `only` names nothing. */
export async function verifyStore(options: VerifyOptions): Promise<VerifiedRevision[]> {
  const layout = new StoreLayout(resolve(options.dataDirectory));
  const catalog = new DiskCatalog(layout);
  const specs =
    options.only === undefined
      ? (await catalog.models()).map((model) => ({ model, revision: DEFAULT_REF }))
      : [options.only];
  const revisions: ResolvedRevision[] = [];
  for (const spec of specs) revisions.push(await catalog.resolve(spec));
  options.onTotal?.(revisions.reduce((sum, { manifest }) => sum + manifest.totalBytes, 0));
  const pool = new HashPool({ signal: options.signal });
  try {
    const verified: VerifiedRevision[] = [];
    for (const revision of revisions) {
      const findings = await verifyRevision(layout, revision, pool, options.onBytes ?? (() => undefined));
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
