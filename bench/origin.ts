/**
 * `npm run bench:origin`: reading a model from a store before S3 whose cache is warm, against a store that has it in its data directory.
 * Needs the S3 server of the tests (scripts/s3-server.sh). Exit code 1 if the bound is missed.
 */
import { readdir, rm } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { note, print, printJson, printTable } from '../src/cli/terminal.js';
import { formatSize } from '../src/core/units.js';
import { noS3Server, S3Server } from '../test/support/s3-server.js';
import type { CheckpointSpec } from './support/checkpoint.js';
import { llamaCheckpoint } from './support/llama-checkpoint.js';
import { describeMachine, median } from './support/machine.js';
import { runCalyxJson, runShell, startStore, type Server } from './support/processes.js';
import { Workspace } from './support/workspace.js';

/** Of the speed of the plain store. */
const MIN_WARM_RATIO = 0.9;
const ROUNDS = Math.max(5, Number(process.env['CALYX_BENCH_ROUNDS'] ?? 9));
const BLOCKS = 1;
const MODEL = 'bench/model';
/** Streams at the same time: one as a single reader has, and as many as nodes that start together. */
const STREAMS = [1, 4] as const;
/** A cache that resists scans keeps all only when it has been read more than once. */
const MAX_FILLS = 8;

interface Status {
  readonly origin: { readonly cache: { readonly misses: number; readonly fetchedBytes: number } };
}

function checkpoint(onBytes?: (bytes: number) => void): CheckpointSpec {
  const spec = llamaCheckpoint(onBytes);
  const tensors = spec.tensors.filter(({ name }) => Number(/layers\.(\d+)/.exec(name)?.[1] ?? 0) < BLOCKS);
  return { ...spec, tensors, shardBytes: 150_000_000, config: { ...spec.config, num_hidden_layers: BLOCKS } };
}

async function revisionOf(url: string): Promise<string | undefined> {
  const answer = await fetch(`${url}/v1/models/${MODEL}/revisions/main`);
  return answer.ok ? ((await answer.json()) as { revision: string }).revision : undefined;
}

async function cacheOf(url: string): Promise<Status['origin']['cache']> {
  return ((await (await fetch(`${url}/v1/status`)).json()) as Status).origin.cache;
}

async function main(): Promise<number> {
  if (noS3Server !== undefined) {
    note(`error: ${noS3Server}`);
    return 2;
  }
  const workspace = new Workspace(note);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
  const running: Server[] = [];
  const server = await S3Server.start();
  try {
    const model = await workspace.checkpoint('origin', checkpoint);
    const files = (await readdir(model)).filter((name) => !name.startsWith('.'));
    await server.makeBucket('bench');
    for (const file of files) await server.putFile('bench', `${MODEL}/${file}`, `${model}/${file}`);
    const [data, before] = [workspace.at('plain'), workspace.at('before-s3')];
    for (const path of [data, before]) await rm(path, { recursive: true, force: true });
    const { json } = await runCalyxJson(['add', model, '--name', MODEL, '--data', data]);
    const { bytes } = json as { bytes: number };
    Object.assign(process.env, server.env());
    const plain = await startStore(data, [], ['--no-nfs']);
    running.push(plain);
    const cacheSize = ['--cache-size', String(Math.ceil(1.5 * bytes))];
    const origin = await startStore(before, [], ['--no-nfs', '--origin', 's3://bench', ...cacheSize]);
    running.push(origin);
    const startedAt = performance.now();
    let revision: string | undefined;
    while ((revision = await revisionOf(origin.url)) === undefined) {
      if (performance.now() - startedAt > 120_000) throw new Error('the model does not show');
      await setTimeout(50);
    }
    const manifestSeconds = (performance.now() - startedAt) / 1000;
    const read = (url: string, streams: number): Promise<number> => {
      const urls = files.map((file) => `${url}/tree/models/${MODEL}@${revision}/${file}`);
      return runShell(`printf '%s\\n' ${urls.join(' ')} | xargs -P ${streams} -n 1 curl -sf -o /dev/null`);
    };
    note('filling the cache');
    const cold: number[] = [];
    for (let fill = 0; fill < MAX_FILLS; fill += 1) {
      const { misses } = await cacheOf(origin.url);
      cold.push(await read(origin.url, 1));
      if ((await cacheOf(origin.url)).misses === misses) break;
    }
    const filled = await cacheOf(origin.url);
    const rows: { streams: number; plain: number[]; warm: number[]; ratio: number }[] = [];
    for (const streams of STREAMS) {
      const row = { streams, plain: [] as number[], warm: [] as number[], ratio: 0 };
      for (let round = 0; round < ROUNDS; round += 1) {
        const both = [
          [plain.url, row.plain],
          [origin.url, row.warm],
        ] as const;
        // The order is turned around each round, so that nobody always follows the same one.
        for (const [url, seconds] of round % 2 === 0 ? both : both.toReversed())
          seconds.push(await read(url, streams));
      }
      row.ratio = median(row.plain) / median(row.warm);
      rows.push(row);
    }
    const missed = (await cacheOf(origin.url)).misses - filled.misses;
    const good = missed === 0 && rows.every(({ ratio }) => ratio >= MIN_WARM_RATIO);
    const machine = describeMachine();
    const peakBytes = origin.peakBytes() ?? 0;
    if (process.argv.includes('--json')) {
      printJson({ ok: good, machine, bytes, manifestSeconds, coldSeconds: cold[0], missed, peakBytes, rows });
      return good ? 0 : 1;
    }
    const { cpu, cores, memoryBytes, system, node } = machine;
    print(`${cpu}, ${cores} cores, ${formatSize(memoryBytes)} of memory, ${system}, Node ${node}`);
    print(`${formatSize(bytes)} by curl from each store in turn, ${ROUNDS} rounds, median`);
    print('');
    printTable(
      [
        'streams',
        'plain, seconds',
        'warm cache, seconds',
        'plain per second',
        'warm per second',
        'warm / plain',
      ],
      rows.map((row) => [
        String(row.streams),
        median(row.plain).toFixed(2),
        median(row.warm).toFixed(2),
        formatSize(bytes / median(row.plain)),
        formatSize(bytes / median(row.warm)),
        row.ratio.toFixed(2),
      ]),
      [0, 1, 2, 3, 4, 5],
    );
    print('');
    print(`reading all of it once for the manifest: ${manifestSeconds.toFixed(2)} s`);
    print(`the first read, through an empty cache:   ${(cold[0] ?? NaN).toFixed(2)} s`);
    print(`chunks missed in the rounds:              ${missed}`);
    print(`highest memory of the store before S3:    ${formatSize(peakBytes)}`);
    if (!good) note(`error: a warm read is slower than ${MIN_WARM_RATIO} of the plain store, or not warm`);
    return good ? 0 : 1;
  } finally {
    for (const one of running) await one.stop();
    await server.stop();
    workspace.close();
  }
}

process.exitCode = await main();
