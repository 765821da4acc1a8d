/**
 * `npm run bench:moe [DIRECTORY]`: inspects a mixture of experts of 394 GB (sparse files) and plans a fetch of ten of its blocks. With
 * DIRECTORY, only writes the checkpoint there, to be kept.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { note, print, printTable } from '../src/cli/terminal.js';
import { formatSize } from '../src/core/units.js';
import { describeMachine } from './support/machine.js';
import { publishOutline, writeMoeCheckpoint } from './support/moe-checkpoint.js';
import { runCalyxJson, startStore } from './support/processes.js';

async function main(keepAt: string | undefined): Promise<void> {
  if (keepAt !== undefined) {
    const { bytes, tensors, shards } = await writeMoeCheckpoint(keepAt);
    print(`${keepAt}: ${formatSize(bytes)}, ${tensors} tensors in ${shards} shards`);
    return;
  }
  const directory = await mkdtemp(join(process.env['CALYX_BENCH_DIR'] ?? tmpdir(), 'calyx-moe-'));
  try {
    const model = join(directory, 'model');
    note(`making up the checkpoint in ${directory}`);
    const { bytes, tensors, shards } = await writeMoeCheckpoint(model);
    await publishOutline(model, join(directory, 'data'), 'bench/moe');
    const store = await startStore(join(directory, 'data'));
    try {
      const { cpu, cores, memoryBytes, system, node } = describeMachine();
      print(`${cpu}, ${cores} cores, ${formatSize(memoryBytes)} of memory, ${system}, Node ${node}`);
      print(`${formatSize(bytes)}, ${tensors} tensors in ${shards} shards`);
      print('');
      const plan = ['--blocks', '10:20', '--dry-run'];
      const slice = ['--store', store.url, '--into', join(directory, 'slice')];
      const rows: string[][] = [];
      for (const [what, args] of [
        ['calyx inspect', ['inspect', model]],
        ['calyx fetch DIRECTORY --dry-run', ['fetch', model, ...plan]],
        ['calyx fetch MODEL --dry-run, store just started', ['fetch', 'bench/moe', ...plan, ...slice]],
        ['calyx fetch MODEL --dry-run, once more', ['fetch', 'bench/moe', ...plan, ...slice]],
      ] as const) {
        const { seconds, peakBytes } = await runCalyxJson(args);
        rows.push([what, seconds.toFixed(2), memory(peakBytes)]);
      }
      rows.push(['calyx store meanwhile', '', memory(store.peakBytes())]);
      printTable(['command', 'seconds', 'highest memory'], rows, [1, 2]);
    } finally {
      await store.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function memory(bytes: number | undefined): string {
  return bytes === undefined ? 'not told' : formatSize(bytes);
}

await main(process.argv[2]);
