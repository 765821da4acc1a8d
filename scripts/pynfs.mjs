// Runs the part of pynfs (github.com/kofemann/pynfs) that a read-only server can pass against a store, and compares what fails
// with docs/nfs-conformance.md. pynfs is not part of this project:
//
//   node scripts/pynfs.mjs DIRECTORY_OF_PYNFS [--python PYTHON]
//
// PYTHON needs the packages ply, xdrlib3 and setuptools; the directory is built first if it was not (setup.py build).
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const FLAGS = [
  'exchange_id create_session destroy_session sequence compound reclaim_complete destroy_clientid',
  'secinfo_no_name trunking putfh lookup lookupp currentstateid',
].flatMap((line) => line.split(' '));
/** What nfs-ganesha 4.3 passes of them with a read-only export. */
const PEER_PASSES = 103;

const { values, positionals } = parseArgs({
  options: { python: { type: 'string', default: 'python3' } },
  allowPositionals: true,
});
const [pynfs] = positionals;
if (pynfs === undefined) {
  console.error('usage: node scripts/pynfs.mjs DIRECTORY_OF_PYNFS [--python PYTHON]');
  process.exit(2);
}
const python = values.python.includes('/') ? resolve(values.python) : values.python;

const work = mkdtempSync(join(tmpdir(), 'calyx-pynfs-'));
let store;
try {
  // The tree that pynfs looks for: as much of it as a model can have.
  const model = join(work, 'model');
  cpSync(join(ROOT, 'models/tiny-calyx'), model, { recursive: true });
  for (const [path, text] of [
    ['tree/file', 'This is the file test data.'],
    ['tree/dir/file', 'x'],
    ['tmp/file', 'x'],
  ]) {
    mkdirSync(dirname(join(model, path)), { recursive: true });
    writeFileSync(join(model, path), text);
  }
  const calyx = join(ROOT, 'bin/calyx.mjs');
  const data = join(work, 'store');
  const added = spawnSync(process.execPath, [calyx, 'add', model, '--name', 'pynfs/export', '--data', data]);
  if (added.status !== 0) throw new Error(String(added.stderr));
  store = spawn(process.execPath, [calyx, 'store', '--data', data, '--listen', '127.0.0.1:0', '--nfs', '127.0.0.1:0', '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  }); // prettier-ignore
  const [line] = await once(store.stdout, 'data');
  const { port } = JSON.parse(String(line)).nfs;

  if (!existsSync(join(pynfs, 'nfs4.1/xdrdef/nfs4_const.py'))) {
    const built = spawnSync(python, ['setup.py', 'build'], {
      cwd: pynfs,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    if (built.status !== 0) throw new Error('pynfs could not be built');
  }
  const report = join(work, 'report.json');
  const args = ['testserver.py', '--minorversion=1', '--noinit', '--nocleanup', `--json=${report}`];
  const target = `127.0.0.1:${port}/models/pynfs/export`;
  const tests = spawn(python, [...args, target, ...FLAGS], {
    cwd: join(pynfs, 'nfs4.1'),
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await once(tests, 'exit');

  const { testcase } = JSON.parse(readFileSync(report, 'utf8'));
  const failed = testcase.filter((test) => test.failure !== undefined).map((test) => test.code);
  const passed = testcase.filter((test) => test.failure === undefined && test.skipped === undefined).length;
  const docs = readFileSync(join(ROOT, 'docs/nfs-conformance.md'), 'utf8');
  const listed = new Set([...docs.matchAll(/^\| ([A-Z]+[0-9]+[a-z]?) \|/gm)].map((match) => match[1]));
  const surprises = failed.filter((code) => !listed.has(code));
  console.log(`${passed} passed, ${failed.length} failed: ${failed.sort().join(' ')}`);
  if (surprises.length > 0) console.log(`not in docs/nfs-conformance.md: ${surprises.join(' ')}`);
  process.exitCode = passed >= PEER_PASSES && surprises.length === 0 ? 0 : 1;
} finally {
  if (store !== undefined && store.exitCode === null) {
    store.kill('SIGTERM');
    await once(store, 'exit');
  }
  rmSync(work, { recursive: true, force: true });
}
