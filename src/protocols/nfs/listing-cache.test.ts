import { expect, it, vi } from 'vitest';
import { MemoryTree } from '../../../test/support/memory-tree.js';
import { cachedListing } from './listing-cache.js';

it('asks a directory for its names when its version differs', async () => {
  const tree = new MemoryTree({ 'd/a': '', 'd/b': '' });
  const directory = tree.directoryAt('d');
  const list = vi.spyOn(directory, 'list');
  const first = await cachedListing(tree, directory);
  expect(await cachedListing(tree, directory)).toBe(first);
  expect(list).toHaveBeenCalledTimes(1);
  tree.put('d/c', '');
  expect((await cachedListing(tree, directory)).map(({ name }) => name).sort()).toEqual(['a', 'b', 'c']);
  expect(list).toHaveBeenCalledTimes(2);
});

it('keeps what one client may see from another', async () => {
  const all = new MemoryTree({ shown: '', secret: '' });
  const some = new MemoryTree({ shown: '', other: '' });
  expect(some.root.handle).toEqual(all.root.handle);
  expect(some.root.version()).toEqual(all.root.version());
  await cachedListing(all, all.root);
  expect((await cachedListing(some, some.root)).map(({ name }) => name).sort()).toEqual(['other', 'shown']);
});

it('forgets the directory that was not read for longest', async () => {
  const count = 300;
  const paths = Array.from({ length: count }, (_, index) => `d${index}`);
  const tree = new MemoryTree(Object.fromEntries(paths.map((path) => [`${path}/a`, ''])));
  const lists = paths.map((path) => vi.spyOn(tree.directoryAt(path), 'list'));
  for (const path of paths) {
    await cachedListing(tree, tree.directoryAt(path));
    await cachedListing(tree, tree.directoryAt('d0'));
  }
  await cachedListing(tree, tree.directoryAt('d1'));
  await cachedListing(tree, tree.directoryAt('d299'));
  expect(lists.map((list) => list.mock.calls.length)).toEqual([1, 2, ...Array<number>(count - 2).fill(1)]);
});
