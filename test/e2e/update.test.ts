import { copyFile, cp, readdir, readFile, rename, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { changeTensors, writeTwoRevisions } from '../support/two-revisions.js';

describe('update from a directory', () => {
  it('copies the files that changed and no others, whatever their times', async () => {
    const data = join(testDirectory(), 'data');
    const source = join(testDirectory(), 'model');
    await cp(TINY, source, { recursive: true });
    await calyxJson('add', source, '--name', 'acme/tiny', '--data', data);
    // A copy in place of the original, as a download anew makes it: another file with the same content.
    for (const name of await readdir(source)) {
      await copyFile(join(source, name), join(source, 'copy'));
      await rename(join(source, 'copy'), join(source, name));
      await utimes(join(source, name), new Date(), new Date());
    }
    expect(await calyxJson('update', 'acme/tiny', '--data', data)).toMatchObject({ changed: false, importedBytes: 0 });
    const [shard = ''] = (await readdir(source)).filter((name) => name.endsWith('.safetensors'));
    await changeTensors(source, /input_layernorm/);
    await writeFile(join(source, 'note.txt'), 'new');
    const blobs = join(data, 'models--acme--tiny/blobs');
    const before = new Map(await Promise.all((await readdir(blobs)).map(async (name) => [name, (await stat(join(blobs, name))).ino] as const)));
    const updated = await calyxJson('update', 'acme/tiny', '--data', data);
    const weights = (await readdir(source)).filter((name) => name.endsWith('.safetensors'));
    const sizes = await Promise.all(weights.map(async (name) => (await stat(join(source, name))).size));
    expect(updated['changed']).toBe(true);
    expect(updated['importedBytes']).toBeLessThanOrEqual(sizes.reduce((sum, size) => sum + size, 3));
    expect(updated['importedBytes']).toBeGreaterThan((await stat(join(source, shard))).size / 2);
    for (const [name, inode] of before) expect((await stat(join(blobs, name))).ino).toBe(inode);
    const shown = join(data, 'models--acme--tiny/snapshots', updated['revision'] as string);
    for (const name of await readdir(source))
      expect((await readFile(join(shown, name))).equals(await readFile(join(source, name)))).toBe(true);
    expect((await calyx('verify', '--data', data)).code).toBe(0);
    await calyxJson('remove', 'acme/tiny', '--data', data);
    expect(await readdir(join(data, '.calyx/sources'))).toEqual([]);
  }); // prettier-ignore

  it('from another directory, which it then remembers', async () => {
    const data = join(testDirectory(), 'data');
    const { first, second, bytes } = await writeTwoRevisions(testDirectory());
    await calyxJson('add', first, '--name', 'acme/random', '--data', data);
    const updated = await calyxJson('update', 'acme/random', second, '--data', data);
    expect(updated).toMatchObject({ changed: true, source: second, generation: 2 });
    // One of four shards.
    expect(updated['importedBytes']).toBeLessThan(bytes / 3);
    expect(await calyxJson('update', 'acme/random', '--data', data)).toMatchObject({
      changed: false,
      source: second,
    });
    const back = await calyx('update', 'acme/random', first, '--data', data);
    expect(back.stdout).toMatch(`from ${first}: 0 B of`);
  });

  it('of a model that is not there, or whose source is gone', async () => {
    const data = join(testDirectory(), 'data');
    const gone = join(testDirectory(), 'gone');
    await cp(TINY, gone, { recursive: true });
    await calyxJson('add', gone, '--name', 'acme/tiny', '--data', data);
    await rename(gone, `${gone}-by-now`);
    expect((await calyx('update', 'acme/lily', '--data', data)).stderr).toContain('it has acme/tiny');
    const { code, stderr } = await calyx('update', 'acme/tiny', '--data', data);
    expect([code, stderr]).toEqual([1, expect.stringContaining(gone)]);
  });
});
