import { spawnSync } from 'node:child_process';
import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyxJson, cleanEnvironment, start } from '../support/cli.js';
import { writeRandomModel } from '../support/models.js';
import { noPython, type PythonTensor } from '../support/outside-tools.js';
import { startProxy } from '../support/proxy.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

const scratch = suiteDirectory();
const MIB = 1024 * 1024;
let store: RunningStore;
let source: Record<string, PythonTensor>;

// Containers often forbid mounts; ulimit works everywhere and stands for them below.
const noMount =
  spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
    ? undefined
    : 'this user may not mount a tmpfs in a namespace of its own';

beforeAll(async () => {
  const model = join(scratch, 'model');
  await writeRandomModel(model, { blocks: 6, matrixBytes: 3 * MIB, shards: 2, seed: 9 });
  await calyxJson('add', model, '--name', 'org/random', '--data', join(scratch, 'data'));
  if (noPython === undefined) source = await tensorsOf(model);
  store = await startStore(join(scratch, 'data'));
  return async () => {
    await store.stop();
  };
});

/** Runs a script of bash in a mount namespace of its own; `calyx` is the command line. */
function inNamespace(script: string) {
  const calyx = `calyx() { "${process.execPath}" "${ROOT}bin/calyx.mjs" "$@"; }`;
  const env = cleanEnvironment({ STORE: store.url, SCRATCH: scratch });
  return start('unshare', ['-m', 'bash', '-c', `set -u; ${calyx}; ${script}`], { env }).ended;
}

describe.skipIf(noPython)('a disk that is too small', () => {
  it.skipIf(noMount)('is refused before the first byte', async () => {
    const ended = await inNamespace(`
      mkdir -p "$SCRATCH/small"; mount -t tmpfs -o size=8m none "$SCRATCH/small"
      calyx fetch org/random --blocks 0:6 --store "$STORE" --into "$SCRATCH/small/slice"; echo "code $?"
      ls -A "$SCRATCH/small"`);
    expect(ended.stderr).toMatch(/the slice needs 36\.\d MiB more, but .* has only 8\.00 MiB free/);
    expect(ended.stdout).toBe('code 1\n');
  });

  it.skipIf(noMount)('is told what it would take by a plan, and that it would be refused', async () => {
    const ended = await inNamespace(`
      mkdir -p "$SCRATCH/planned"; mount -t tmpfs -o size=8m none "$SCRATCH/planned"
      calyx fetch org/random --blocks 0:6 --store "$STORE" --into "$SCRATCH/planned/slice" --dry-run; echo "code $?"
      ls -A "$SCRATCH/planned"`);
    expect(ended.stdout).toMatch(/: would fetch 36\.\d MiB .*\ncode 0\n$/);
    expect(ended.stderr).toMatch(/as it is now, it would fail: the slice needs 36\.\d MiB more/);
  });

  it('a limit on the size of files: a clear error, nothing half, and it goes on later', async () => {
    const into = join(scratch, 'limited');
    const command = `ulimit -f 1024; exec "$0" "$1" fetch org/random --blocks 0:3 --store "$2" --into "$3" --json`;
    const script = ['-c', command, process.execPath, `${ROOT}bin/calyx.mjs`, store.url, into];
    const ended = await start('bash', script, { env: cleanEnvironment() }).ended;
    expect(ended).toMatchObject({ code: 1, signal: null, stdout: '' });
    expect(ended.stderr).toMatch(
      /^error: cannot (?:write|prepare) .*: the file system does not allow a file that large\n/,
    );
    expect((await readdir(into)).filter((name) => name.endsWith('.safetensors'))).toEqual([]);
    const args = ['fetch', 'org/random', '--blocks', '0:3', '--store', store.url, '--into', into];
    await calyxJson(...args);
    await expectSlice(into, source, { blocks: [0, 1, 2] });
    await rm(into, { recursive: true });
  });

  it.skipIf(noMount)(
    'that fills in the middle: a clear error, nothing wrong, and it goes on later',
    async () => {
      // The fetch has found room for 36 MiB, and 8 of them have come, when another process takes all that is left.
      const [fill, filled] = [join(scratch, 'fill'), join(scratch, 'filled')];
      expect((await start('mkfifo', [fill, filled]).ended).code).toBe(0);
      const proxy = await startProxy(store.port, {
        gate: {
          afterBytes: 8 * MIB,
          open: async () => {
            await writeFile(fill, 'now');
            await readFile(filled);
          },
        },
      });
      const ended = await inNamespace(
        `mkdir "$SCRATCH/tmpfs"; cd "$SCRATCH/tmpfs"; mount -t tmpfs -o size=40m none .; cd "$SCRATCH/tmpfs"
      (cat "$SCRATCH/fill"; cat /dev/zero > ballast; echo yes > "$SCRATCH/filled") >/dev/null 2>&1 &
      calyx fetch org/random --blocks 0:6 --store ${proxy.url} --into slice --json; echo "code $?"
      wait; cp -r slice "$SCRATCH/failed"; rm ballast
      calyx fetch org/random --blocks 0:6 --store "$STORE" --into slice >/dev/null; echo "code $?"
      cp -r slice "$SCRATCH/resumed"`,
      );
      await proxy.close();
      expect(ended.stdout).toBe('code 1\ncode 0\n');
      expect(ended.stderr).toMatch(
        /^error: cannot .*\/slice\/.*: (?:no space left on the device|.* took no more bytes)\n/,
      );
      expect(ended.stderr).not.toMatch(/not expected|\bat .*\.js:/);
      const failed = await readdir(join(scratch, 'failed'));
      expect(failed).not.toContain('model.safetensors.index.json');
      const shown = await tensorsOf(join(scratch, 'failed'));
      for (const [name, tensor] of Object.entries(shown)) expect(tensor).toEqual(source[name]);
      await expectSlice(join(scratch, 'resumed'), source, { blocks: [0, 1, 2, 3, 4, 5] });
    },
  );
});
