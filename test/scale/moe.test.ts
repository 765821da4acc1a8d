import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishOutline, writeMoeCheckpoint } from '../../bench/support/moe-checkpoint.js';
import { runCalyxJson, startStore, type Finished, type Server } from '../../bench/support/processes.js';

/** What each command may take. */
const MAX_SECONDS = 5;
const MAX_BYTES = 300 * 1024 * 1024;

const MODEL = 'bench/moe';
const BLOCKS = '10:20';

let directory: string;
let model: string;
let store: (Server & { readonly url: string }) | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'calyx-moe-'));
  model = join(directory, 'model');
  const { tensors, shards, bytes } = await writeMoeCheckpoint(model);
  expect(tensors).toBeGreaterThan(44_000);
  expect(shards).toBeGreaterThan(150);
  expect(bytes).toBeGreaterThan(390e9);
  // No bytes on the disk but for headers.
  expect((await stat(join(model, 'model-00001-of-00158.safetensors'))).blocks * 512).toBeLessThan(2 ** 20);
  await publishOutline(model, join(directory, 'data'), MODEL);
  store = await startStore(join(directory, 'data'));
});

afterAll(async () => {
  await store?.stop();
  await rm(directory, { recursive: true, force: true });
});

test('inspect shows 394 GB of experts', async () => {
  const inspected = await runCalyxJson(['inspect', model]);
  expect(inspected.json).toMatchObject({ modelType: 'deepseek_v3', blocks: 61, tensors: 45_395 });
  const { bytes, parts } = inspected.json as {
    bytes: number;
    parts: { part: string; bytes: number; tensors: unknown[]; shards: string[] }[];
  };
  expect(parts.reduce((sum, part) => sum + part.bytes, 0)).toBe(bytes);
  expect(parts.filter(({ part, tensors }) => part === 'block' && tensors.length === 782)).toHaveLength(58);
  expect(parts.filter(({ part, shards }) => part === 'block' && shards.length > 1).length).toBeGreaterThan(
    50,
  );
  expectModest(inspected);
});

test('a fetch of ten of its blocks is planned with a store, and without one', async () => {
  const url = store?.url ?? '';
  const blocks = ['--blocks', BLOCKS, '--dry-run'];
  const fromStore = await runCalyxJson([
    'fetch',
    MODEL,
    ...blocks,
    '--store',
    url,
    '--into',
    join(directory, 'slice'),
  ]);
  const planned = fromStore.json as { bytesNeeded: number; bytesFetched: number; chunks: number };
  expect(planned.bytesFetched).toBe(planned.bytesNeeded);
  // Ten blocks of 256 experts with three matrices of 8 MiB, and their attention.
  expect(planned.bytesNeeded).toBeGreaterThan(10 * 256 * 3 * 8 * 2 ** 20);
  expect(planned.bytesNeeded).toBeLessThan(10 * 260 * 3 * 8.5 * 2 ** 20);
  expectModest(fromStore);

  const fromHeaders = await runCalyxJson(['fetch', model, ...blocks]);
  const { bytesNeeded, bytesFetched, chunks } = planned;
  expect(fromHeaders.json).toMatchObject({ model, revision: null, bytesNeeded, bytesFetched, chunks });
  expectModest(fromHeaders);

  const storePeak = store?.peakBytes();
  if (storePeak !== undefined) expect(storePeak).toBeLessThan(MAX_BYTES);
});

function expectModest({ seconds, peakBytes }: Finished): void {
  expect(seconds).toBeLessThan(MAX_SECONDS);
  // Only Linux tells.
  if (peakBytes !== undefined) expect(peakBytes).toBeLessThan(MAX_BYTES);
}
