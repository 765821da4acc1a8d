import { mkdir, readdir, readlink, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { expectError } from '../../../test/support/expect-error.js';
import { testDirectory } from '../../../test/support/directories.js';
import { BufferPool } from '../buffer-pool.js';
import { DirectorySource } from './directory-source.js';

/** A directory with the blobs `a` to `e`, each with its own letter four times. */
async function blobs(openFiles?: number) {
  const directory = testDirectory();
  for (const name of 'abcde') await writeFile(join(directory, name), name.repeat(4));
  const locate = (blob: string) => (blob === 'none' ? undefined : join(directory, blob));
  const options = openFiles === undefined ? {} : { openFiles };
  const source = new DirectorySource('the store', locate, new BufferPool(), options);
  onTestFinished(() => source.close());
  const read = async (blob: string, offset = 0, length = 4): Promise<string> => {
    const lease = await source.read(blob, offset, length);
    lease.release();
    return bytesOf(lease).toString();
  };
  return { directory, source, read };
}

/** The files below a directory that this process has open, by the kernel's own account. */
async function openIn(directory: string): Promise<string[]> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  );
  return links.filter((link) => link.startsWith(directory)).map((link) => link.slice(directory.length + 1)).sort();
} // prettier-ignore

const onLinux = it.skipIf(process.platform !== 'linux');

describe('DirectorySource', () => {
  it('names itself and the blob that it lacks, the file that it cannot open, and the file that ends too early', async () => {
    const { source, directory, read } = await blobs();
    await expectError(() => source.read('none', 0, 1), 'not-found', 'the store does not have the blob none');
    await expectError(() => source.read('gone', 0, 1), 'not-found', join(directory, 'gone'));
    await expectError(
      () => source.read('a', 2, 3),
      'corrupt',
      join(directory, 'a'),
      'ends at 4',
      '1 more bytes',
    );
    await mkdir(join(directory, 'folder'));
    await expectError(
      () => source.read('folder', 0, 1),
      'unreadable',
      join(directory, 'folder'),
      'directory',
    );
    await truncate(join(directory, 'a'), 1);
    await expectError(() => source.read('a', 0, 4), 'corrupt', join(directory, 'a'), 'ends at 1');
    expect(await read('b')).toBe('bbbb');
    // A file that was not there may come.
    await writeFile(join(directory, 'gone'), 'back');
    expect(await read('gone')).toBe('back');
  });

  onLinux('keeps files open between reads, and those that were used last if there are too many', async () => {
    const { directory, read, source } = await blobs(2);
    await read('a');
    await read('b');
    expect(await openIn(directory)).toEqual(['a', 'b']);
    await read('a');
    await read('c');
    expect(await openIn(directory)).toEqual(['a', 'c']);
    await source.close();
    expect(await openIn(directory)).toEqual([]);
  });

  onLinux('leaves no file open after a crowd of readers, failures among them', async () => {
    const { directory, source } = await blobs(1);
    const reads = Array.from({ length: 200 }, async (_, index) => {
      const blob = ['a', 'b', 'c', 'gone', 'e'][index % 5] ?? 'a';
      const lease = await source.read(blob, 0, 4);
      const text = bytesOf(lease).toString();
      lease.release();
      return text;
    });
    for (const [index, outcome] of (await Promise.allSettled(reads)).entries()) {
      if (index % 5 === 3) expect(outcome).toMatchObject({ reason: { code: 'not-found' } });
      else
        expect(outcome).toEqual({
          status: 'fulfilled',
          value: ['aaaa', 'bbbb', 'cccc', '', 'eeee'][index % 5],
        });
    }
    expect((await openIn(directory)).length).toBeLessThanOrEqual(1);
    await source.close();
    expect(await openIn(directory)).toEqual([]);
  });

  onLinux('closes a file that it is told to forget, and finds a new one in its place', async () => {
    const { directory, source, read } = await blobs();
    await read('a');
    await rm(join(directory, 'a'));
    expect(await read('a')).toBe('aaaa');
    await source.forget('a');
    await source.forget('never seen');
    expect(await openIn(directory)).toEqual([]);
    await writeFile(join(directory, 'a'), 'new!');
    expect(await read('a')).toBe('new!');
  });

  onLinux('does not open a file for a reader that comes after the end', async () => {
    const { directory, source } = await blobs();
    const read = source.read('a', 0, 4);
    await source.close();
    await read.then(
      (lease) => lease.release(),
      () => undefined,
    );
    await expectError(() => source.read('b', 0, 4), 'unavailable', 'the store is closed');
    expect(await openIn(directory)).toEqual([]);
  });
});
