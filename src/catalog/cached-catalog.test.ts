import { expect, test } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.js';
import { CachedCatalog } from './cached-catalog.js';
import type { CatalogReader, ResolvedRevision } from './catalog-reader.js';

const MODEL = { org: 'acme', name: 'rose' };
const MAIN = { model: MODEL, revision: 'main' };

/** A catalog whose ref leads to what the test says. */
function movable(): CatalogReader & { revision: string; asked: number } {
  const catalog = {
    revision: 'a'.repeat(40),
    asked: 0,
    models: () => Promise.resolve([MODEL]),
    refs: () =>
      Promise.resolve(new Map([['main', { revision: catalog.revision, generation: 1, manifest: '' }]])),
    revisions: () => Promise.resolve([catalog.revision]),
    resolve: () => {
      catalog.asked += 1;
      const { revision } = catalog;
      return Promise.resolve({
        model: MODEL,
        revision,
        manifest: { files: [] },
      } as unknown as ResolvedRevision);
    },
  };
  return catalog;
}

test('asks for the same thing once in a moment', async () => {
  const inner = movable();
  const clock = new ManualClock();
  const catalog = new CachedCatalog(inner, { clock });
  await Promise.all([catalog.resolve(MAIN), catalog.resolve(MAIN)]);
  clock.advance(499);
  await catalog.resolve(MAIN);
  expect(inner.asked).toBe(1);
  clock.advance(1);
  await catalog.resolve(MAIN);
  expect(inner.asked).toBe(2);
});

test('who saw a ref move is never led to what it named before', async () => {
  const inner = movable();
  const clock = new ManualClock();
  const catalog = new CachedCatalog(inner, { clock });
  await catalog.refs(MODEL);
  clock.advance(300);
  await catalog.resolve(MAIN);
  // Another process published; nobody has told this one yet.
  inner.revision = 'b'.repeat(40);
  clock.advance(300);
  expect((await catalog.refs(MODEL)).get('main')?.revision).toBe('b'.repeat(40));
  expect((await catalog.resolve(MAIN)).revision).toBe('b'.repeat(40));
});

test('nor who asked while the ref was being read', async () => {
  const inner = movable();
  const catalog = new CachedCatalog(inner, { clock: new ManualClock() });
  const read = inner.refs.bind(inner);
  let goOn: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (goOn = resolve));
  inner.refs = () => held.then(() => read(MODEL));
  const refs = catalog.refs(MODEL);
  expect((await catalog.resolve(MAIN)).revision).toBe('a'.repeat(40));
  inner.revision = 'b'.repeat(40);
  goOn();
  expect((await refs).get('main')?.revision).toBe('b'.repeat(40));
  expect((await catalog.resolve(MAIN)).revision).toBe('b'.repeat(40));
});
