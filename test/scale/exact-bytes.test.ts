import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCalyxJson, startStore, type Server } from '../../bench/support/processes.js';
import { fetchModel, type FetchedModel } from '../../src/app/fetch/fetch-model.js';
import { placedChunks } from '../../src/catalog/fetch/slice-plan.js';
import { sliceFiles } from '../../src/catalog/slice.js';
import { partsOfRange } from '../../src/catalog/slice-spec.js';
import { parseModelSpec } from '../../src/core/names.js';
import type { PartId } from '../../src/weights/parts.js';
import { MODELS } from './models.js';

const NAMES = Object.keys(MODELS) as (keyof typeof MODELS)[];

let directory: string;
let store: (Server & { readonly url: string }) | undefined;
let slices = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'calyx-exact-'));
  const data = join(directory, 'data');
  for (const name of NAMES)
    await runCalyxJson(['add', MODELS[name], '--name', `test/${name}`, '--data', data]);
  store = await startStore(data);
});

afterAll(async () => {
  await store?.stop();
  await rm(directory, { recursive: true, force: true });
});

test('for any range, the store sends exactly the bytes of its distinct chunks', async () => {
  const anything = fc.record({
    name: fc.constantFrom(...NAMES),
    from: fc.double({ min: 0, max: 1, noNaN: true }),
    to: fc.double({ min: 0, max: 1, noNaN: true }),
    embed: fc.boolean(),
    head: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(anything, async ({ name, from, to, embed, head }) => {
      await expectExact(name, (blockCount) => {
        const start = Math.floor(Math.min(from, to) * (blockCount - 1));
        const end = Math.max(start + 1, Math.ceil(Math.max(from, to) * blockCount));
        return partsOfRange({ start, end }, embed, head);
      });
    }),
    { numRuns: 25 },
  );
});

test('the table of a tied head is moved once, although two parts hold it', async () => {
  const all = (blockCount: number): PartId[] => partsOfRange({ start: 0, end: blockCount }, true, true);
  const { bytesNeeded, bytesFetched, revision } = await expectExact('qwen2-tied', all);
  const { manifest } = revision;
  const shared = manifest.map.head.filter((ordinal) => manifest.map.embed.includes(ordinal));
  expect(shared).toHaveLength(1);
  const table = manifest.tensor(shared[0] ?? -1).length;
  expect(bytesNeeded - bytesFetched).toBeGreaterThanOrEqual(table);
});

test('blocks that are added later cost their own bytes alone', async () => {
  const into = join(directory, `slice-${(slices += 1)}`);
  const first = await fetchParts('tiny-calyx', () => [2, 3], into);
  const second = await fetchParts('tiny-calyx', () => [3, 4], into);
  const before = distinctBytes(first, [2, 3]);
  expect(second.bytesFetched).toBe(distinctBytes(first, [2, 3, 4]) - before);
});

/** Fetches into an empty directory and compares what the store says it sent. */
async function expectExact(name: string, parts: (blockCount: number) => PartId[]): Promise<FetchedModel> {
  const into = join(directory, `slice-${(slices += 1)}`);
  const before = await bytesSent();
  const fetched = await fetchParts(name, parts, into);
  expect((await bytesSent()) - before).toBe(fetched.bytesFetched);
  expect(fetched.bytesFetched).toBeLessThanOrEqual(fetched.bytesNeeded);
  expect(fetched.bytesFetched).toBe(distinctBytes(fetched, parts(fetched.revision.manifest.blockCount)));
  await rm(into, { recursive: true });
  return fetched;
}

function fetchParts(
  name: string,
  add: (blockCount: number) => PartId[],
  into: string,
): Promise<FetchedModel> {
  return fetchModel({
    spec: parseModelSpec(`test/${name}`),
    stores: { urls: [new URL(store?.url ?? '')], credential: undefined },
    into,
    add,
    signal: new AbortController().signal,
  });
}

/** Bytes of the chunks of a slice, those with equal content counted once. */
function distinctBytes({ revision }: FetchedModel, parts: readonly PartId[]): number {
  const chunks = new Map<string, number>();
  for (const file of sliceFiles(revision, parts).values())
    for (const { digest, length } of placedChunks(file, revision.manifest)) chunks.set(digest, length);
  return [...chunks.values()].reduce((sum, length) => sum + length, 0);
}

async function bytesSent(): Promise<number> {
  const text = await (await fetch(`${store?.url}/metrics`)).text();
  const value = /^calyx_store_blob_bytes_sent_total (\S+)$/m.exec(text)?.[1];
  if (value === undefined) throw new Error(`the store does not tell what it sent:\n${text}`);
  return Number(value);
}
