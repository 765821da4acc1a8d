import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { BundledBlobs } from '../../src/catalog/bundles/bundled-blobs.js';
import { convertToChunks } from '../../src/catalog/bundles/convert-to-chunks.js';
import { Content } from '../../src/catalog/content.js';
import { collectGarbage } from '../../src/catalog/gc/collect-garbage.js';
import { stageModel, type ImportMode } from '../../src/catalog/ingest/stage-model.js';
import { HashPool } from '../../src/catalog/ingest/hash-pool.js';
import { publishStaged } from '../../src/catalog/publish.js';
import { removeModel } from '../../src/catalog/remove.js';
import { DiskCatalog } from '../../src/catalog/catalog-reader.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import { isCalyxError } from '../../src/core/errors.js';
import { parseModelName } from '../../src/core/names.js';

/** What the process that runs this file is asked to do, as JSON in its only argument. */
export interface DriverTask {
  readonly do: 'add' | 'publish' | 'remove' | 'gc' | 'convert';
  readonly data: string;
  readonly source: string;
  readonly model: string;
  readonly mode?: ImportMode;
  /** Of hashing; one makes the order of the files certain. @default 2 */
  readonly threads?: number;
  /** Kills itself before this call, of those that change the file system, counted from 1. */
  readonly killBefore?: number;
  /** For gc: the time of day, if not the machine's. */
  readonly now?: number;
}

/** What it prints as its last line. */
export interface DriverAnswer {
  readonly revision?: string;
  readonly importedBytes?: number;
  readonly freedBytes?: number;
  readonly code?: string;
  readonly message?: string;
}

/** Every import of these functions sees the replaced ones: Node keeps the bindings of its own modules in step. */
function killBefore(call: number): void {
  let count = 0;
  for (const name of ['mkdir', 'open', 'rename', 'rm', 'rmdir', 'symlink', 'link'] as const) {
    const original = fs[name] as (...input: unknown[]) => unknown;
    const replaced = (...input: unknown[]): unknown => {
      count += 1;
      if (count === call) process.kill(process.pid, 'SIGKILL');
      return original(...input);
    };
    Object.assign(fs, { [name]: replaced });
  }
  syncBuiltinESMExports();
}

async function run(task: DriverTask): Promise<DriverAnswer> {
  const layout = new StoreLayout(task.data);
  const model = parseModelName(task.model);
  if (task.killBefore !== undefined) killBefore(task.killBefore);
  const blobs = new BundledBlobs(layout);
  const content = new Content(layout, new DiskCatalog(layout), blobs, () => undefined);
  if (task.do === 'publish')
    return { revision: (await publishStaged(layout, model, await content.keeper())).ref.revision };
  if (task.do === 'convert') {
    await convertToChunks(layout, new DiskCatalog(layout));
    return {};
  }
  if (task.do === 'remove') {
    await removeModel(layout, new DiskCatalog(layout), model);
    return {};
  }
  if (task.do === 'gc') {
    const report = await collectGarbage(layout, new DiskCatalog(layout), {
      usersOf: () => [],
      lock: () => Promise.resolve(() => Promise.resolve()),
      onForgotten: () => undefined,
      onRemoved: () => Promise.resolve(),
      bundles: content.bundles,
      ...(task.now === undefined ? {} : { now: task.now }),
    });
    return { freedBytes: report.bytes };
  }
  const pool = new HashPool({ threads: task.threads ?? 2 });
  const { importedBytes } = await stageModel(layout, {
    directory: task.source,
    model,
    mode: task.mode ?? 'copy',
    pool,
    signal: new AbortController().signal,
  });
  const { ref } = await publishStaged(layout, model);
  await pool.close();
  return { revision: ref.revision, importedBytes };
}

const [argument] = process.argv.slice(2);
if (argument !== undefined) {
  // So that the one that kills can count from here, not from the start of the process.
  process.stdout.write('started\n');
  const answer = await run(JSON.parse(argument) as DriverTask).catch((error: unknown): DriverAnswer => {
    if (!isCalyxError(error)) throw error;
    return { code: error.code, message: error.message };
  });
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
