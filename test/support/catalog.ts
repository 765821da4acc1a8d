import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { DiskCatalog, type ResolvedRevision } from '../../src/catalog/catalog-reader.js';
import { segmentLength, type Segment } from '../../src/catalog/file-tree.js';
import { HashPool } from '../../src/catalog/ingest/hash-pool.js';
import { stageModel, type StagedModel, type StageOptions } from '../../src/catalog/ingest/stage-model.js';
import { publishStaged, type Published } from '../../src/catalog/publish.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { parseModelName } from '../../src/core/names.js';
import { ROOT, testDirectory } from './directories.js';

/** The models that tests publish, by name. */
export const FIXTURES = {
  'tiny-calyx': join(ROOT, 'models/tiny-calyx'),
  'llama3-rope': join(ROOT, 'test/fixtures/models/llama3-rope'),
  'mistral-f32': join(ROOT, 'test/fixtures/models/mistral-f32'),
  gguf: join(ROOT, 'test/fixtures/models/gguf'),
  'qwen2-tied': join(ROOT, 'test/fixtures/models/qwen2-tied'),
  qwen3: join(ROOT, 'test/fixtures/models/qwen3'),
} as const;

export type FixtureName = keyof typeof FIXTURES;

/** Revision ids and manifest digests that were computed without our code. */
export const VECTORS = JSON.parse(
  readFileSync(join(ROOT, 'test/vectors/manifests.json'), 'utf8'),
) as Readonly<Record<FixtureName | 'small', { bytes: number; sha256: string; revision: string }>>;

/** The name under which tests publish most models. */
export const MODEL = parseModelName('acme/rose');

/** A copy of a fixture that a test may change. */
export function copyOfFixture(name: FixtureName): string {
  const directory = join(testDirectory(), name);
  cpSync(FIXTURES[name], directory, { recursive: true });
  return directory;
}

/** An empty store that goes away with the running test. */
export function emptyStore(): { layout: StoreLayout; catalog: DiskCatalog } {
  const layout = new StoreLayout(join(testDirectory(), 'data'));
  return { layout, catalog: new DiskCatalog(layout) };
}

/** Two hashing threads for all tests of a file, because a thread takes longer to start than a fixture to hash. */
export const testPool = new HashPool({ threads: 2 });
afterAll(() => testPool.close());

/** Stages a directory with options that most tests share. */
export function stage(
  layout: StoreLayout,
  directory: string,
  options: Partial<StageOptions> = {},
): Promise<StagedModel> {
  return stageModel(layout, {
    directory,
    model: MODEL,
    mode: 'copy',
    pool: testPool,
    signal: new AbortController().signal,
    ...options,
  });
}

/** Stages and publishes a directory. */
export async function publish(
  layout: StoreLayout,
  directory: string,
  options: Partial<StageOptions> = {},
): Promise<Published & { readonly importedBytes: number }> {
  const { importedBytes } = await stage(layout, directory, options);
  return { ...(await publishStaged(layout, options.model ?? MODEL)), importedBytes };
}

/** A model as the catalog shows it. */
export function resolve(catalog: DiskCatalog, revision = 'main'): Promise<ResolvedRevision> {
  return catalog.resolve({ model: MODEL, revision });
}

/** Bytes of all files under a directory, hidden ones left out. */
export function directoryBytes(directory: string): number {
  const names = readdirSync(directory).filter((name) => !name.startsWith('.'));
  return names.reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

/** The bytes of segments, read from the blobs' files without our sources. */
export function materialize(segments: readonly Segment[], blobPath: (blob: string) => string): Buffer {
  const bytes = Buffer.concat(
    segments.map((segment) =>
      'literal' in segment
        ? segment.literal
        : readFileSync(blobPath(segment.blob)).subarray(segment.offset, segment.offset + segment.length),
    ),
  );
  const expected = segments.reduce((sum, segment) => sum + segmentLength(segment), 0);
  if (bytes.byteLength !== expected) throw new Error('a segment leaves its blob');
  return bytes;
}

/** What the system's own sha256sum says of files, by their paths as given. */
export function sha256sum(paths: readonly string[]): Map<string, string> {
  const lines = execFileSync('sha256sum', [...paths], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
  return new Map(lines.map((line) => [line.slice(66), line.slice(0, 64)]));
}
