import { describe, expect, it, vi } from 'vitest';
import { MemoryTree, type MemoryDirectory } from '../../../test/support/memory-tree.js';
import { ListingCache } from './listing-cache.js';

function treeWith(directories: number, entries: number): { tree: MemoryTree; all: MemoryDirectory[] } {
  const tree = new MemoryTree();
  const all: MemoryDirectory[] = [];
  for (let index = 0; index < directories; index += 1) {
    for (let entry = 0; entry < entries; entry += 1) tree.put(`${index}/${entry}`, '');
    all.push(tree.directoryAt(String(index)));
  }
  return { tree, all };
}

/** How often each directory was listed while `use` ran. */
async function listed(all: readonly MemoryDirectory[], use: () => Promise<void>): Promise<number[]> {
  const spies = all.map((each) => vi.spyOn(each, 'list'));
  await use();
  const counts = spies.map((spy) => spy.mock.calls.length);
  for (const spy of spies) spy.mockRestore();
  return counts;
}

describe('ListingCache', () => {
  it('lists once for calls at the same time', async () => {
    const { tree, all } = treeWith(1, 3);
    const [only] = all as [MemoryDirectory];
    const cache = new ListingCache();
    const counts = await listed(all, async () => {
      await Promise.all([cache.entries(tree, only, 1n), cache.entries(tree, only, 1n)]);
    });
    expect(counts).toEqual([1]);
  });

  it('forgets the directory used longest ago when there are too many', async () => {
    const { tree, all } = treeWith(3, 1);
    const [a, b, c] = all as [MemoryDirectory, MemoryDirectory, MemoryDirectory];
    const cache = new ListingCache({ maxDirectories: 2 });
    const counts = await listed(all, async () => {
      for (const each of [a, b, a, c, a, b]) await cache.entries(tree, each, 1n);
    });
    expect(counts).toEqual([1, 2, 1]);
  });

  it('forgets when there are too many entries, but never the latest directory', async () => {
    const { tree, all } = treeWith(2, 10);
    const [a, b] = all as [MemoryDirectory, MemoryDirectory];
    const cache = new ListingCache({ maxEntries: 15 });
    const counts = await listed(all, async () => {
      for (const each of [a, a, b, b, a]) await cache.entries(tree, each, 1n);
    });
    expect(counts).toEqual([2, 1]);
    const tiny = new ListingCache({ maxEntries: 1 });
    expect(await listed(all, async () => {
      for (const each of [a, a]) await tiny.entries(tree, each, 1n);
    })).toEqual([1, 0]);
  }); // prettier-ignore

  it('keeps what different clients see apart, though handles are the same', async () => {
    const one = new MemoryTree({ mine: '' });
    const other = new MemoryTree({ theirs: '' });
    expect(one.root.handle).toEqual(other.root.handle);
    const cache = new ListingCache();
    expect((await cache.entries(one, one.root, 1n)).map(({ name }) => name)).toEqual(['mine']);
    expect((await cache.entries(other, other.root, 1n)).map(({ name }) => name)).toEqual(['theirs']);
  });
});
