import { describe, expect, it } from 'vitest';
import { gitInfo, knownFile } from './hub-file.js';
import { RepositoryTree } from './tree-entries.js';

// Files with these contents, each as a pointer of Git LFS, were given to git 2.39; ids are those of `git ls-tree -r -t`.
const HELLO = '5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03';
const FILES = [
  knownFile('a.txt', 6, HELLO),
  knownFile('dir-x/d', 1, '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'),
  knownFile('dir.txt', 6, HELLO),
  knownFile('dir/b.txt', 6, 'e258d248fda94c63753607f7c4494ee0fcbe92f1a76bfdac795c9d84101eb317'),
  knownFile('dir/sub/c.txt', 0, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'),
];

describe('ids of git', () => {
  it('of a file are those of its pointer', () => {
    expect(gitInfo(knownFile('a.txt', 6, HELLO))).toEqual({
      oid: 'fa61e1ef71c9908c0926776a4aa3504b3a27f159',
      lfs: { oid: HELLO, size: 6, pointerSize: 126 },
    });
  });

  it('of directories are those of git, whose order is not that of paths', () => {
    const tree = new RepositoryTree(FILES);
    expect(tree.list('', true)?.map(({ type, oid, path }) => `${type} ${oid} ${path}`)).toEqual([
      'file fa61e1ef71c9908c0926776a4aa3504b3a27f159 a.txt',
      'directory ea493850d5d45a491c71578b10a6df4d0268ccb0 dir',
      'directory 3c5dacf04e451848c2649edf44cac3d178a5bcca dir-x',
      'file b9cc11c9cf904608db4c9b0fded560cc9368dfe4 dir-x/d',
      'file fa61e1ef71c9908c0926776a4aa3504b3a27f159 dir.txt',
      'file 74975c74f2f9de098b522bcb0f53ba34f31f3071 dir/b.txt',
      'directory 66e21149ba24a995f78d703c2c09c3381f64e484 dir/sub',
      'file fc8e42b32efb9a9bf3ae0234a18a948e499490f8 dir/sub/c.txt',
    ]);
  });
});

describe('a listing', () => {
  const tree = new RepositoryTree(FILES);
  const paths = (directory: string, recursive: boolean) =>
    tree.list(directory, recursive)?.map(({ path }) => path);

  it('shows what is directly in a directory, or all below it', () => {
    expect(paths('', false)).toEqual(['a.txt', 'dir', 'dir-x', 'dir.txt']);
    expect(paths('dir', false)).toEqual(['dir/b.txt', 'dir/sub']);
    expect(paths('dir', true)).toEqual(['dir/b.txt', 'dir/sub', 'dir/sub/c.txt']);
  });

  it('knows directories from files and from what is not there', () => {
    for (const path of ['a.txt', 'di', 'dir/', 'none', 'dir/sub/c.txt', '..', '__proto__'])
      expect(tree.list(path, true), path).toBeUndefined();
    expect(tree.directory('dir/sub')).toMatchObject({ type: 'directory', path: 'dir/sub', size: 0 });
    expect(tree.directory('')).toBeUndefined();
  });
});
