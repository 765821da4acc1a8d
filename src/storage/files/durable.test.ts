import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { bootId, syncDirectory, writeFileAtomically } from './durable.js';

describe('writeFileAtomically', () => {
  it('writes text and bytes, makes the directories on the way, and leaves nothing else', async () => {
    const directory = testDirectory();
    await writeFileAtomically(join(directory, 'a/b/text'), 'é');
    await writeFileAtomically(join(directory, 'a/b/bytes'), Uint8Array.of(0, 255));
    expect(await readFile(join(directory, 'a/b/text'))).toEqual(Buffer.from([0xc3, 0xa9]));
    expect(await readFile(join(directory, 'a/b/bytes'))).toEqual(Buffer.from([0, 255]));
    expect((await readdir(join(directory, 'a/b'))).sort()).toEqual(['bytes', 'text']);
  });

  it('replaces a file in one step: a reader that has the old one open keeps it', async () => {
    const directory = testDirectory();
    const path = join(directory, 'f');
    await writeFile(path, 'old');
    const { ino } = await stat(path);
    await writeFileAtomically(path, 'new');
    expect(await readFile(path, 'utf8')).toBe('new');
    // Another file took the name; the old one was not written into.
    expect((await stat(path)).ino).not.toBe(ino);
  });

  it('of many writers at once one wins whole', async () => {
    const path = join(testDirectory(), 'f');
    const texts = Array.from({ length: 20 }, (_, n) => String(n).repeat(100_000));
    await Promise.all(texts.map((text) => writeFileAtomically(path, text)));
    expect(texts).toContain(await readFile(path, 'utf8'));
    expect(await readdir(join(path, '..'))).toEqual(['f']);
  });

  it('leaves the old file and no rest when it fails', async () => {
    const directory = testDirectory();
    const path = join(directory, 'taken');
    await mkdir(join(path, 'inner'), { recursive: true });
    await expect(writeFileAtomically(path, 'x')).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(await readdir(directory)).toEqual(['taken']);
    expect(await readdir(path)).toEqual(['inner']);
    await writeFile(join(directory, 'file'), '');
    await expect(writeFileAtomically(join(directory, 'file/below'), 'x')).rejects.toThrow(
      /ENOTDIR|a file is there/,
    );
  });

  it('fails where a file stands in the way, and leaves that as it is', async () => {
    const directory = testDirectory();
    await writeFile(join(directory, 'file'), 'old');
    await expect(writeFileAtomically(join(directory, 'file', 'f'), 'x')).rejects.toThrow(
      /ENOTDIR|a file is there/,
    );
    expect(await readFile(join(directory, 'file'), 'utf8')).toBe('old');
  });

  it('replaces a symbolic link, never what it points to', async () => {
    const directory = testDirectory();
    await writeFile(join(directory, 'target'), 'old');
    await symlink('target', join(directory, 'link'));
    await writeFileAtomically(join(directory, 'link'), 'new');
    expect(await readFile(join(directory, 'target'), 'utf8')).toBe('old');
    expect(await readFile(join(directory, 'link'), 'utf8')).toBe('new');
  });
});

it('syncs directories, and says so if there is none', async () => {
  const directory = testDirectory();
  await expect(syncDirectory(directory)).resolves.toBeUndefined();
  await expect(syncDirectory(join(directory, 'none'))).rejects.toThrow('ENOENT');
});

it.skipIf(process.platform !== 'linux')('names this boot as the kernel does', async () => {
  expect(await bootId()).toMatch(/^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  expect(await bootId()).toBe(await bootId());
});
