/**
 * `npm run bench:tls`: a fetch of a third of a large model's blocks over HTTPS, with a token, against the same over HTTP. Exit code 1 if a
 * bound is missed.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatSize } from '../src/core/units.js';
import { note, print, printJson, printTable } from '../src/cli/terminal.js';
import { LLAMA_BLOCKS, llamaCheckpoint } from './support/llama-checkpoint.js';
import { describeMachine, median } from './support/machine.js';
import { runCalyxJson, runShell, startStore, type Server } from './support/processes.js';
import { Workspace } from './support/workspace.js';

/** A fetch over HTTPS takes at most so many times as long as over HTTP. */
const MAX_RATIO = 1.5;
/** A node's memory, with and without TLS. */
const MAX_NODE_BYTES = 300 * 1024 * 1024;
const ROUNDS = Math.max(5, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 5));

const MODEL = 'bench/llama';
const BLOCKS = `4:${4 + LLAMA_BLOCKS / 3}`;

/** One way to fetch, and what each round of it took. */
interface Way {
  readonly name: string;
  readonly args: readonly string[];
  readonly store: Server;
  readonly seconds: number[];
  readonly peaks: number[];
}

async function main(): Promise<number> {
  const workspace = new Workspace(note);
  const closing: (() => Promise<void>)[] = [];
  // Servers and files go when the process does, however it ends.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  // The cluster is joined for this run alone, and nothing of the user's own is asked.
  process.env['XDG_CONFIG_HOME'] = workspace.at('config');
  delete process.env['CALYX_STORE'];
  try {
    const model = await workspace.checkpoint('llama', llamaCheckpoint);
    const stores = [];
    for (const [name, args] of [['open', []], ['secured', ['--tls']]] as const) {
      const data = workspace.at(`store-${name}`);
      note(`publishing it in the ${name} store`);
      await runCalyxJson(['add', model, '--name', MODEL, '--link', '--data', data]);
      const store = await startStore(data, [], args);
      closing.unshift(() => store.stop());
      stores.push({ ...store, data });
    } // prettier-ignore
    const [open, secured] = stores;
    if (open === undefined || secured === undefined) throw new Error('there are two stores');
    const token = await readFile(join(secured.data, '.calyx/cluster/local-token'), 'utf8');
    await runCalyxJson(['join', `calyx://${new URL(secured.url).host}/#${token.trim()}`]);
    const into = workspace.at('slice');
    await rm(into, { recursive: true, force: true });
    const way = (name: string, store: typeof open): Way => ({
      name,
      args: ['fetch', MODEL, '--blocks', BLOCKS, '--store', store.url, '--into', into],
      store,
      seconds: [],
      peaks: [],
    });
    const ways = [way('HTTPS', secured), way('HTTP', open)];
    const planned = await runCalyxJson([...(ways[0]?.args ?? []), '--dry-run']);
    const bytes = (planned.json as { bytesFetched: number }).bytesFetched;
    const warm = workspace.at('warm');
    note(`${ROUNDS} rounds of ${formatSize(bytes)}`);
    for (let round = 0; round < ROUNDS; round += 1) {
      // The order is turned around each round, so that nobody always follows the same one.
      for (const { args, seconds, peaks } of round % 2 === 0 ? ways : ways.toReversed()) {
        // A virtual machine may give free memory back to its host, from 2 s after it is freed, and pays when it is touched again. So each fetch
        // begins with memory that was just freed: otherwise it is the slower way alone that pays.
        await runShell(`head -c ${bytes} /dev/zero >'${warm}' && rm '${warm}'`);
        const finished = await runCalyxJson(args);
        const { bytesFetched } = finished.json as { bytesFetched: number };
        if (bytesFetched !== bytes)
          throw new Error(`the fetch moved ${bytesFetched} bytes instead of ${bytes}`);
        seconds.push(finished.seconds);
        if (finished.peakBytes !== undefined) peaks.push(finished.peakBytes);
        await rm(into, { recursive: true, force: true });
        // So that nobody's writes reach the disk in another's time.
        await runShell(`sync -f '${workspace.path}'`);
      }
    }
    return report(ways, bytes);
  } finally {
    for (const close of closing) await close();
    workspace.close();
  }
}

function report(ways: readonly Way[], bytes: number): number {
  const machine = describeMachine();
  const rows = ways.map(({ name, seconds, peaks, store }) => ({
    name,
    seconds,
    medianSeconds: median(seconds),
    nodePeakBytes: peaks.length === 0 ? null : Math.max(...peaks),
    storePeakBytes: store.peakBytes() ?? null,
  }));
  const [https = NaN, http = NaN] = rows.map(({ medianSeconds }) => medianSeconds);
  const ratio = https / http;
  const good =
    ratio <= MAX_RATIO && rows.every(({ nodePeakBytes }) => (nodePeakBytes ?? 0) <= MAX_NODE_BYTES);
  if (process.argv.includes('--json')) {
    printJson({
      ok: good,
      machine,
      bytes,
      ways: rows,
      ratio,
      maxRatio: MAX_RATIO,
      maxNodeBytes: MAX_NODE_BYTES,
    });
    return good ? 0 : 1;
  }
  const { cpu, cores, memoryBytes, system, node } = machine;
  print(`${cpu}, ${cores} cores, ${formatSize(memoryBytes)} of memory, ${system}, Node ${node}`);
  print(`${formatSize(bytes)} by each way, ${ROUNDS} rounds, median, start-up included`);
  print('');
  const size = (value: number | null): string => (value === null ? 'not told' : formatSize(value));
  printTable(
    ['way', 'seconds', 'fastest', 'slowest', 'per second', 'node memory', 'store memory'],
    rows.map((row) => [
      row.name,
      row.medianSeconds.toFixed(2),
      Math.min(...row.seconds).toFixed(2),
      Math.max(...row.seconds).toFixed(2),
      formatSize(bytes / row.medianSeconds),
      size(row.nodePeakBytes),
      size(row.storePeakBytes),
    ]),
    [1, 2, 3, 4, 5, 6],
  );
  print('');
  print(
    `HTTPS / HTTP: ${ratio.toFixed(2)} (at most ${MAX_RATIO.toFixed(2)}); memory of a node at most ${formatSize(MAX_NODE_BYTES)}`,
  );
  if (!good) note('error: a bound is missed');
  return good ? 0 : 1;
}

process.exitCode = await main();
