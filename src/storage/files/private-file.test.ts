import { execFileSync } from 'node:child_process';
import { chmod, chown, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { readPrivateFile, writePrivateFile } from './private-file.js';
import { privacyFaults, rightfulOwners } from './privacy.js';

const ROOT = process.geteuid?.() === 0;

async function secret(): Promise<string> {
  const path = join(testDirectory(), 'private', 'secret');
  await writePrivateFile(path, 'text');
  return path;
}

describe('a file with secrets', () => {
  it('is written for its owner alone, and read', async () => {
    const path = await secret();
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700);
    expect(await readPrivateFile(path, 4)).toBe('text');
    expect(await readPrivateFile(`${path}.not`, 4)).toBeUndefined();
  });

  it.each([0o640, 0o604, 0o620, 0o601])('is not gone by if others may use it (%o)', async (mode) => {
    const path = await secret();
    await chmod(path, mode);
    await expectError(() => readPrivateFile(path, 4), 'refused', path, mode.toString(8), `chmod 600 ${path}`);
  });

  it('is not gone by if its directory is open, where that counts', async () => {
    const path = await secret();
    await chmod(join(path, '..'), 0o755);
    expect(await readPrivateFile(path, 4)).toBe('text');
    await expectError(() => readPrivateFile(path, 4, { directory: true }), 'refused', 'chmod 700');
  });

  it('is no link, not even to one that is right, and no pipe, for which nobody waits', async () => {
    const path = await secret();
    await symlink(path, `${path}.link`);
    await expectError(() => readPrivateFile(`${path}.link`, 4), 'refused', 'neither a file nor a directory');
    execFileSync('mkfifo', ['-m', '600', `${path}.pipe`]);
    await expectError(() => readPrivateFile(`${path}.pipe`, 4), 'refused', 'neither a file nor a directory');
    await mkdir(`${path}.directory`, 0o700);
    await expectError(() => readPrivateFile(`${path}.directory`, 4), 'unreadable', 'directory');
  });

  it('is not read if it is larger than it can be', async () => {
    const path = await secret();
    await writeFile(path, 'longer');
    await expectError(() => readPrivateFile(path, 5), 'unreadable', '6 bytes');
  });

  it('is not gone by if it belongs to somebody else', async () => {
    const path = await secret();
    const owner = ROOT ? 4242 : (process.geteuid?.() ?? 0);
    if (ROOT) await chown(path, owner, owner);
    const user = owner + 1;
    const says = [`belongs to user ${owner}, not to user ${user}`, `chown ${user} ${path}`];
    await expectError(() => readPrivateFile(path, 4, { user }), 'refused', ...says);
    expect(await readPrivateFile(path, 4, { user: owner })).toBe('text');
  });

  it.runIf(ROOT)(
    'counts for root if its directory belongs to the same user, and not if a third one put it there',
    async () => {
      const path = await secret();
      await chown(path, 4242, 4242);
      await expectError(() => readPrivateFile(path, 4), 'refused', 'belongs to user 4242, not to user 0');
      await chown(join(path, '..'), 4242, 4242);
      expect(await readPrivateFile(path, 4)).toBe('text');
    },
  );
});

describe('who may own it', () => {
  it('is the user of the process, and root', async () => {
    expect(await rightfulOwners('/no/such/file', 7)).toEqual([7, 0]);
    expect(await rightfulOwners('/no/such/file', 0)).toEqual([0]);
  });

  it('is said of all that is wrong at once', () => {
    const facts = { path: "/it's/here", kind: 'file', mode: 0o100_666, uid: 8 } as const;
    expect(privacyFaults(facts, [7, 0])).toEqual([
      { problem: "others may read or change /it's/here (mode 0666)", wayOut: "chmod 600 '/it'\\''s/here'" },
      {
        problem: "/it's/here belongs to user 8, not to user 7",
        wayOut: "chown 7 '/it'\\''s/here', or run all commands for it as one user",
      },
    ]);
    expect(privacyFaults({ ...facts, mode: 0o600, uid: 0 }, [7, 0])).toEqual([]);
    expect(privacyFaults({ ...facts, mode: 0o600 }, undefined)).toEqual([]);
  });
});
