/**
 * `npm run bench:nfs [-- --cases TEXT]`: reading by NFS from `calyx store` and from nfs-ganesha, the same files by the same clients in
 * turn: the kernel of a User-Mode Linux guest, and libnfs. It only reports. Needs root, for a network of its own.
 */
import { rm } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { note } from '../src/cli/terminal.js';
import { errorMessage } from '../src/core/errors.js';
import { formatSize } from '../src/core/units.js';
import { guestUnavailable } from '../test/support/guest/availability.js';
import { startGuest } from '../test/support/guest/guest.js';
import { createNetwork, type GuestNetwork } from '../test/support/guest/network.js';
import { ganeshaFiles } from './support/ganesha-packages.js';
import { nfsCases, sha256InGuest, type NfsCase, type NfsFiles } from './support/nfs-cases.js';
import { nfsModel } from './support/nfs-model.js';
import { reportNfs, type MeasuredCase } from './support/nfs-report.js';
import { startCalyxServer, startGanesha, type NfsServer } from './support/nfs-servers.js';
import { cpuSeconds, peakBytes } from './support/process-usage.js';
import { ProcessError, runCalyxJson } from './support/processes.js';
import { Workspace } from './support/workspace.js';

/** Even, so that each server is first as often as the other. */
const ROUNDS = 2 * Math.ceil(Math.max(5, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 5)) / 2);
const MODEL = 'bench/nfs';
/** Room to cache the whole file. */
const GUEST = { memoryMib: 2560 } as const;
/**
 * The host gives a guest its memory when it is touched first, which takes longer than reading by NFS; whoever came first would pay for it.
 */
const TOUCH_MEMORY = 'head -c 1200M /dev/zero >/dev/shm/touched; rm /dev/shm/touched';

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { json: { type: 'boolean' }, cases: { type: 'string' } } });
  // It has said what is missing.
  if (guestUnavailable() !== undefined) return 2;
  try {
    ganeshaFiles();
  } catch (error) {
    note(`error: ${errorMessage(error)}`);
    return 2;
  }
  const workspace = new Workspace(note);
  // Servers, guests and files go when the process does, however it ends.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const network = await createNetwork({ guests: 1 });
  const closing: (() => Promise<void>)[] = [];
  try {
    const model = await nfsModel(workspace);
    const data = workspace.at('nfs-store');
    await rm(data, { recursive: true, force: true });
    note('publishing it');
    // Linked, so that both servers read the very same file, which is in memory once.
    await runCalyxJson(['add', model.path, '--name', MODEL, '--link', '--data', data]);
    const calyx = await startCalyxServer(network, data, MODEL);
    closing.unshift(() => calyx.stop());
    const ganesha = await startGanesha(network, workspace.at('ganesha'), model.path);
    closing.unshift(() => ganesha.stop());
    const servers = [calyx, ganesha];

    const guestKernel = await compareContent(network, servers, model);
    const load = loadavg()[0] ?? NaN;
    const cases = nfsCases(model).filter(({ name }) => name.includes(values.cases ?? ''));
    note(`${ROUNDS} rounds of ${formatSize(model.bytes)}`);
    const measured = await measure(network, servers, cases);
    reportNfs(
      {
        rounds: ROUNDS,
        guestKernel,
        load: [load, loadavg()[0] ?? NaN],
        fileBytes: model.bytes,
        cases: measured,
        peakBytes: { calyx: peakBytes(calyx.pid), ganesha: peakBytes(ganesha.pid) },
      },
      values.json === true,
    );
    return 0;
  } finally {
    for (const close of closing) await close();
    await network.close();
    workspace.close();
  }
}

/** Both serve the right bytes; afterwards these are in the page cache. Returns the guest's kernel. */
async function compareContent(
  network: GuestNetwork,
  servers: readonly NfsServer[],
  { path, file }: NfsFiles & { readonly path: string },
): Promise<string> {
  const hashed = await network.start('sha256sum', [join(path, file)]).ended;
  const guest = await startGuest(network, GUEST);
  try {
    for (const server of servers) {
      const got = await sha256InGuest('3', file, server, guest);
      if (!hashed.stdout.startsWith(got)) throw new ProcessError(`${server.name} served wrong bytes: ${got}`);
    }
    return (await guest.sh('uname -r')).trim();
  } finally {
    await guest.kill();
  }
}

async function measure(
  network: GuestNetwork,
  servers: readonly NfsServer[],
  cases: readonly NfsCase[],
): Promise<MeasuredCase[]> {
  const measured = cases.map((one): MeasuredCase & NfsCase => ({ ...one, spent: {} }));
  for (let round = 0; round < ROUNDS; round += 1) {
    // Each round on a machine of its own, with nothing left of those before.
    const guest = await startGuest(network, GUEST);
    try {
      await guest.sh(TOUCH_MEMORY);
      for (const { servers: able, run, spent } of measured) {
        // The order is turned around each round, so that nobody always follows the same one.
        for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
          if (!able.includes(server.name)) continue;
          const { seconds, cpuSeconds: cpu } = (spent[server.name] ??= { seconds: [], cpuSeconds: [] });
          const before = cpuSeconds(server.pid);
          seconds.push(await run(server, { network, guest }));
          cpu.push(cpuSeconds(server.pid) - before);
        }
      }
    } finally {
      await guest.kill();
    }
    note(`  round ${round + 1} of ${ROUNDS}`);
  }
  return measured;
}

process.exitCode = await main();
