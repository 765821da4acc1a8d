/**
 * `npm run bench:ingest`: `calyx add` of a model from a Hub on this machine against curl of the same bytes, followed by sha256sum. Exit code 1
 * if a bound is missed.
 */
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatSize } from '../src/core/units.js';
import { note, print, printJson, printTable } from '../src/cli/terminal.js';
import type { CheckpointSpec } from './support/checkpoint.js';
import { llamaCheckpoint } from './support/llama-checkpoint.js';
import { describeMachine, hasProgram, median } from './support/machine.js';
import { runCalyxJson, runShell, startHub } from './support/processes.js';
import { Workspace } from './support/workspace.js';

/** An add has at least this share of the speed of curl and sha256sum. */
const MIN_SPEED = 0.8;
const MAX_BYTES = 300 * 1024 * 1024;
const ROUNDS = Math.max(3, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 5));
/** 2.1 GiB in four shards. */
const BLOCKS = 4;

function checkpoint(onBytes?: (bytes: number) => void): CheckpointSpec {
  const spec = llamaCheckpoint(onBytes);
  const tensors = spec.tensors.filter(({ name }) => Number(/layers\.(\d+)/.exec(name)?.[1] ?? 0) < BLOCKS);
  return { ...spec, tensors, shardBytes: 600_000_000, config: { ...spec.config, num_hidden_layers: BLOCKS } };
}

async function main(): Promise<number> {
  for (const program of ['curl', 'sha256sum', 'git']) {
    if (hasProgram(program, '--version')) continue;
    note(`error: ${program} is not installed\n  install it: sudo apt-get install curl coreutils git`);
    return 2;
  }
  const workspace = new Workspace(note);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  let hub: Awaited<ReturnType<typeof startHub>> | undefined;
  try {
    const model = await workspace.checkpoint('ingest', checkpoint);
    const names = (await readdir(model)).filter((name) => !name.startsWith('.'));
    let bytes = 0;
    for (const name of names) bytes += (await stat(join(model, name))).size;
    hub = await startHub(fileURLToPath(new URL('./support/range-server.js', import.meta.url)), model);
    const { url } = hub;
    const data = workspace.at('added');
    const curled = workspace.at('curled');
    // What curl asks for is what the add is led to, without the redirect.
    const urls = names
      .map((name) => `-o '${curled}/${name}' '${url}/bench/model/resolve/main/${name}'`)
      .join(' ');
    const peaks: number[] = [];
    // No token of the user's and no proxy may come between.
    Object.assign(process.env, {
      HF_ENDPOINT: url,
      HF_TOKEN: '',
      HF_HOME: workspace.path,
      NO_PROXY: '*',
      no_proxy: '*',
    });
    const add = {
      name: 'calyx add',
      seconds: [] as number[],
      run: async (): Promise<number> => {
        const { seconds, peakBytes, json } = await runCalyxJson(['add', 'bench/model', '--data', data]);
        const { fetchedBytes } = json as { fetchedBytes: number };
        if (fetchedBytes !== bytes)
          throw new Error(`the add moved ${fetchedBytes} bytes instead of ${bytes}`);
        if (peakBytes !== undefined) peaks.push(peakBytes);
        return seconds;
      },
    };
    const curl = {
      name: 'curl -o FILES, sha256sum FILES',
      seconds: [] as number[],
      run: () => runShell(`mkdir -p '${curled}' && curl -sfL ${urls} && sha256sum '${curled}'/*`),
    };
    const synced = {
      name: 'the same, with sync',
      seconds: [] as number[],
      run: () =>
        runShell(
          `mkdir -p '${curled}' && curl -sfL ${urls} && sha256sum '${curled}'/* && sync -d '${curled}'/*`,
        ),
    };
    const ways = [add, curl, synced];
    note(`${ROUNDS} rounds of ${formatSize(bytes)}`);
    for (let round = 0; round < ROUNDS; round += 1) {
      // The order is turned around each round, so that nobody always follows the same one.
      for (const way of round % 2 === 0 ? ways : ways.toReversed()) {
        way.seconds.push(await way.run());
        for (const made of [data, curled]) await rm(made, { recursive: true, force: true });
        // So that nobody's writes reach the disk in another's time.
        await runShell(`sync -f '${workspace.path}'`);
      }
    }
    return report(ways, bytes, Math.max(0, ...peaks));
  } finally {
    await hub?.stop();
    workspace.close();
  }
}

function report(
  ways: readonly { readonly name: string; readonly seconds: readonly number[] }[],
  bytes: number,
  peak: number,
): number {
  const machine = describeMachine();
  const [addSeconds = NaN, curlSeconds = NaN] = ways.map(({ seconds }) => median(seconds));
  const speed = curlSeconds / addSeconds;
  const good = speed >= MIN_SPEED && peak <= MAX_BYTES;
  if (process.argv.includes('--json')) {
    const measured = ways.map(({ name, seconds }) => ({ name, seconds, medianSeconds: median(seconds) }));
    printJson({
      ok: good,
      machine,
      bytes,
      ways: measured,
      speed,
      minSpeed: MIN_SPEED,
      peakBytes: peak,
      maxBytes: MAX_BYTES,
    });
    return good ? 0 : 1;
  }
  const { cpu, cores, memoryBytes, system, node } = machine;
  print(`${cpu}, ${cores} cores, ${formatSize(memoryBytes)} of memory, ${system}, Node ${node}`);
  print(`${formatSize(bytes)} by each way, ${ROUNDS} rounds, median, start-up included`);
  print('');
  printTable(
    ['way', 'seconds', 'fastest', 'slowest', 'per second'],
    ways.map(({ name, seconds }) => [
      name,
      median(seconds).toFixed(2),
      Math.min(...seconds).toFixed(2),
      Math.max(...seconds).toFixed(2),
      formatSize(bytes / median(seconds)),
    ]),
    [1, 2, 3, 4],
  );
  print('');
  print(`speed of calyx add / (curl, sha256sum): ${speed.toFixed(2)} (at least ${MIN_SPEED.toFixed(2)})`);
  print(`highest memory of the add:              ${formatSize(peak)} (at most ${formatSize(MAX_BYTES)})`);
  if (!good) note('error: a bound is missed');
  return good ? 0 : 1;
}

process.exitCode = await main();
