/**
 * `npm run bench`: a fetch of a third of a large model's blocks against curl from nginx of as many bytes, followed by
 * sha256sum. Exit code 1 if a bound is missed.
 */
import { rm } from 'node:fs/promises';
import { formatSize } from '../src/core/units.js';
import { note, print, printJson, printTable } from '../src/cli/terminal.js';
import { LLAMA_BLOCKS, llamaCheckpoint } from './support/llama-checkpoint.js';
import { describeMachine, hasProgram, median } from './support/machine.js';
import { startNginx } from './support/nginx.js';
import { runCalyxJson, runShell, startStore } from './support/processes.js';
import { Workspace } from './support/workspace.js';

/** A fetch takes at most as long as curl and sha256sum. */
const MAX_RATIO = 1.0;
/** A node's memory. */
const MAX_NODE_BYTES = 300 * 1024 * 1024;
const ROUNDS = Math.max(5, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 5));

const MODEL = 'bench/llama';
const BLOCKS = `4:${4 + LLAMA_BLOCKS / 3}`;

/** One way to bring the bytes to the disk. Returns its wall time in seconds. */
interface Way {
  readonly name: string;
  readonly run: () => Promise<number>;
  readonly seconds: number[];
}

async function main(): Promise<number> {
  // Where Debian has nginx, which is in the path of root alone.
  process.env['PATH'] = `${process.env['PATH'] ?? ''}:/usr/sbin`;
  for (const program of ['nginx', 'curl', 'sha256sum']) {
    if (hasProgram(program, program === 'nginx' ? '-v' : '--version')) continue;
    note(`error: ${program} is not installed\n  install it: sudo apt-get install nginx-light curl coreutils`);
    return 2;
  }
  const workspace = new Workspace(note);
  const closing: (() => Promise<void>)[] = [];
  // Servers and files go when the process does, however it ends.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  try {
    const model = await workspace.checkpoint('llama', llamaCheckpoint);
    const data = workspace.at('store');
    note('publishing it');
    await runCalyxJson(['add', model, '--name', MODEL, '--link', '--data', data]);
    const store = await startStore(data);
    closing.unshift(() => store.stop());
    const into = workspace.at('slice');
    await rm(into, { recursive: true, force: true });
    const fetchArgs = ['fetch', MODEL, '--blocks', BLOCKS, '--store', store.url, '--into', into];
    const bytes = ((await runCalyxJson([...fetchArgs, '--dry-run'])).json as { bytesFetched: number })
      .bytesFetched;
    await workspace.randomFile('www/file.bin', bytes);
    const nginx = await startNginx(workspace.at('nginx'), workspace.at('www'));
    closing.unshift(() => nginx.stop());

    const file = workspace.at('file.bin');
    const url = `${nginx.url}/file.bin`;
    const peaks: number[] = [];
    const fetch = way('calyx fetch', async () => {
      const { seconds, peakBytes, json } = await runCalyxJson(fetchArgs);
      const { bytesFetched } = json as { bytesFetched: number };
      if (bytesFetched !== bytes)
        throw new Error(`the fetch moved ${bytesFetched} bytes instead of ${bytes}`);
      if (peakBytes !== undefined) peaks.push(peakBytes);
      return seconds;
    });
    const curl = way('curl -o FILE, sha256sum FILE', () =>
      runShell(`curl -sf -o '${file}' '${url}' && sha256sum '${file}'`),
    );
    const ways = [fetch, curl];
    if (hasProgram('openssl', 'version')) {
      ways.push(
        way('curl | tee FILE | openssl dgst', () =>
          runShell(`curl -sf '${url}' | tee '${file}' | openssl dgst -sha256`),
        ),
        way('curl | openssl dgst (no file)', () => runShell(`curl -sf '${url}' | openssl dgst -sha256`)),
      );
    }
    note(`${ROUNDS} rounds of ${formatSize(bytes)}`);
    for (let round = 0; round < ROUNDS; round += 1) {
      // The order is turned around each round, so that nobody always follows the same one.
      for (const one of round % 2 === 0 ? ways : ways.toReversed()) {
        one.seconds.push(await one.run());
        await rm(into, { recursive: true, force: true });
        await rm(file, { force: true });
        // So that nobody's writes reach the disk in another's time.
        await runShell(`sync -f '${workspace.path}'`);
      }
    }
    return report(ways, bytes, peaks, store.peakBytes());
  } finally {
    for (const close of closing) await close();
    workspace.close();
  }
}

function way(name: string, run: () => Promise<number>): Way {
  return { name, run, seconds: [] };
}

function report(
  ways: readonly Way[],
  bytes: number,
  peaks: readonly number[],
  storePeak: number | undefined,
): number {
  const machine = describeMachine();
  const [fetchSeconds = NaN, curlSeconds = NaN] = ways.map(({ seconds }) => median(seconds));
  const ratio = fetchSeconds / curlSeconds;
  const peak = peaks.length === 0 ? undefined : Math.max(...peaks);
  const good = ratio <= MAX_RATIO && (peak ?? 0) <= MAX_NODE_BYTES;
  if (process.argv.includes('--json')) {
    const measured = ways.map(({ name, seconds }) => ({ name, seconds, medianSeconds: median(seconds) }));
    printJson({
      ok: good,
      machine,
      bytes,
      ways: measured,
      ratio,
      maxRatio: MAX_RATIO,
      nodePeakBytes: peak ?? null,
      maxNodeBytes: MAX_NODE_BYTES,
      storePeakBytes: storePeak ?? null,
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
  print(`calyx fetch / (curl, sha256sum): ${ratio.toFixed(2)} (at most ${MAX_RATIO.toFixed(2)})`);
  const peakText = peak === undefined ? 'not told by this system' : formatSize(peak);
  print(`highest memory of the fetch:     ${peakText} (at most ${formatSize(MAX_NODE_BYTES)})`);
  print(`highest memory of the store:     ${storePeak === undefined ? 'not told' : formatSize(storePeak)}`);
  if (!good) note('error: a bound is missed');
  return good ? 0 : 1;
}

process.exitCode = await main();
