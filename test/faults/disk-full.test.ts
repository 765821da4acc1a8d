import { spawnSync } from 'node:child_process';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyxJson, cleanEnvironment, ROOT, start } from '../support/cli.js';
import { writeRandomModel } from '../support/models.js';
import { noPython, type PythonTensor } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { scratchDirectory } from '../support/scratch.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

const MIB = 1024 * 1024;
let scratch: string;
let store: RunningStore;
let source: Record<string, PythonTensor>;

// Containers often forbid mounts; ulimit works everywhere and stands for them below.
const noMount =
  spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
    ? undefined
    : 'this user may not mount a tmpfs in a namespace of its own';

beforeAll(async () => {
  scratch = await scratchDirectory();
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

  it.skipIf(noMount)('has no room for what another process took meanwhile', async () => {
    // A process that writes takes the room byte for byte with the fetch, so that one of them meets the end of the disk.
    const ended = await inNamespace(`
      mkdir -p "$SCRATCH/race"; mount -t tmpfs -o size=40m none "$SCRATCH/race"
      (until [ -e "$SCRATCH/race/slice/.calyx/partial" ]; do :; done; cat /dev/zero > "$SCRATCH/race/ballast" 2>/dev/null) &
      calyx fetch org/random --blocks 0:6 --store "$STORE" --into "$SCRATCH/race/slice" --json; echo "code $?"
      wait
      cp -r "$SCRATCH/race/slice" "$SCRATCH/race-failed"
      rm "$SCRATCH/race/ballast"
      calyx fetch org/random --blocks 0:6 --store "$STORE" --into "$SCRATCH/race/slice" >/dev/null; echo "code $?"
      cp -r "$SCRATCH/race/slice" "$SCRATCH/race-copy"`);
    expect(ended.stdout).toBe('code 1\ncode 0\n');
    expect(ended.stderr).toMatch(
      /^error: cannot .*\/race\/slice.*: (?:no space left on the device|.*took no more bytes)\n/,
    );
    expect(ended.stderr).toContain('free some space');
    expect(ended.stderr).not.toMatch(/not expected|\bat .*\.js:/);
    const shown = await tensorsOf(join(scratch, 'race-failed'));
    for (const [name, tensor] of Object.entries(shown)) expect(tensor).toEqual(source[name]);
    expect(await stat(join(scratch, 'race-failed', 'slice.json')).catch(() => undefined)).toBeUndefined();
    await expectSlice(join(scratch, 'race-copy'), source, { blocks: [0, 1, 2, 3, 4, 5] });
  });
});
