import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { emptyStore, FIXTURES, MODEL, publish, resolve, testPool } from '../../test/support/catalog.js';
import type { ResolvedRevision } from './catalog-reader.js';
import { HashPool } from './ingest/hash-pool.js';
import type { StoreLayout } from './store-layout.js';
import { verifyRevision, type Finding } from './verify-revision.js';

const SHARD = 'model-00002-of-00006.safetensors';

let layout: StoreLayout;
let revision: ResolvedRevision;

beforeEach(async () => {
  const store = emptyStore();
  layout = store.layout;
  await publish(layout, FIXTURES.qwen3);
  revision = await resolve(store.catalog);
});

const verify = (): Promise<Finding[]> => verifyRevision(layout, revision, testPool, () => undefined);

function blobPath(file: string): string {
  return layout.blob(MODEL, revision.manifest.file(file)?.blob ?? '');
}

function flip(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] = (bytes[position] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

test('nothing is wrong with what was just published, and all bytes were read', async () => {
  let read = 0;
  expect(await verifyRevision(layout, revision, testPool, (bytes) => (read += bytes))).toEqual([]);
  expect(read).toBe(revision.manifest.totalBytes);
});

test('single bits in the middle of tensors: each is named, and nothing else', async () => {
  const tensors = revision.manifest.file(SHARD)?.tensors ?? [];
  expect(tensors.length).toBeGreaterThan(5);
  const hit = tensors.filter((_, index) => index % 2 === 1);
  for (const { offset, length } of hit) flip(blobPath(SHARD), offset + Math.floor(length / 2));
  const found = await verify();
  expect(found.map(({ path, tensor, chunk }) => [path, tensor, chunk?.offset, chunk?.length])).toEqual(
    hit.map(({ name, offset, length }) => [SHARD, name, offset, length]),
  );
  expect(found[0]?.blobPath).toBe(blobPath(SHARD));
  const digest = revision.manifest.chunk(
    revision.manifest.file(SHARD) ?? expect.fail(),
    found[0]?.chunk?.index ?? 0,
  ).digest;
  expect(found[0]?.problem).toContain(`(${hit[0]?.length ?? 0} bytes at ${hit[0]?.offset ?? 0})`);
  expect(found[0]?.problem).toContain(digest);
});

test('a bit of a header and one of a file without tensors: no tensor is blamed', async () => {
  flip(blobPath(SHARD), 12);
  flip(blobPath('golden.json'), 500);
  const found = await verify();
  expect(found.map(({ path, chunk }) => [path, chunk?.index])).toEqual([
    ['golden.json', 0],
    [SHARD, 0],
  ]);
  expect(found.every((finding) => finding.tensor === undefined)).toBe(true);
});

test('a blob that was cut off: its size, and every chunk from there', async () => {
  const file = revision.manifest.file(SHARD) ?? expect.fail();
  const third = file.tensors[2] ?? expect.fail();
  truncateSync(blobPath(SHARD), third.offset + 1);
  const [size, ...chunks] = await verify();
  expect(size).toEqual({
    path: SHARD,
    blobPath: blobPath(SHARD),
    problem: `it has ${third.offset + 1} bytes instead of ${file.size}`,
  });
  expect(chunks.map((finding) => finding.tensor)).toEqual(file.tensors.slice(2).map((tensor) => tensor.name));
});

test('bytes that were appended: its size, and no chunk', async () => {
  appendFileSync(blobPath('config.json'), 'x');
  expect(await verify()).toEqual([
    { path: 'config.json', blobPath: blobPath('config.json'), problem: 'it has 884 bytes instead of 883' },
  ]);
});

test('a blob that is missing, once for each file that has it', async () => {
  rmSync(blobPath('config.json'));
  rmSync(blobPath(SHARD));
  expect((await verify()).map(({ path, problem }) => [path, problem])).toEqual([
    ['config.json', 'its blob is missing'],
    [SHARD, 'its blob is missing'],
  ]);
});

describe('an interruption is not a finding', () => {
  test('by its signal', async () => {
    const controller = new AbortController();
    const pool = new HashPool({ threads: 1, signal: controller.signal });
    const stopped = verifyRevision(layout, revision, pool, () => controller.abort(new Error('enough')));
    await expect(stopped).rejects.toThrow('enough');
    await pool.close();
  });

  test('by a thread that ends', async () => {
    const pool = new HashPool({ threads: 1 });
    await pool.close();
    await expect(verifyRevision(layout, revision, pool, () => undefined)).rejects.toMatchObject({
      code: 'aborted',
    });
  });
});

test('a blob that was read for another revision is not read again', async () => {
  const checked = new Map<string, Promise<Finding[]>>();
  let read = 0;
  for (let round = 0; round < 2; round += 1)
    await verifyRevision(layout, revision, testPool, (bytes) => (read += bytes), undefined, checked);
  expect(read).toBe(revision.manifest.totalBytes);
});
