import type { Command } from 'commander';
import { fetchModel, type FetchedModel } from '../app/fetch/fetch-model.js';
import { isLocalModel, planLocal, type LocalPlan } from '../app/fetch/plan-local.js';
import { storeAccess } from '../app/join/store-access.js';
import { partsOfRange } from '../catalog/slice-spec.js';
import { parseBlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';
import { parseModelSpec } from '../core/names.js';
import { formatSeconds, formatSize, parseSize, plural } from '../core/units.js';
import type { PartId } from '../weights/parts.js';
import { note, print, printJson, progressBar } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

interface FetchCommandOptions extends CommonOptions {
  readonly blocks?: string;
  readonly embed?: boolean;
  readonly head?: boolean;
  readonly drop?: string;
  readonly dropEmbed?: boolean;
  readonly dropHead?: boolean;
  readonly store?: string;
  readonly into?: string;
  readonly budget?: string;
  readonly dryRun?: boolean;
  readonly sync?: boolean;
}

/** `calyx fetch MODEL --blocks A:B --into DIR`: a slice on this machine's disk. */
export function fetchCommand(program: Command): void {
  program
    .command('fetch')
    .description('write a slice of a model to this disk: exactly the blocks asked for, verified')
    .argument('<model>', 'ORG/NAME[@REVISION]; with --dry-run also a model directory: ./DIR, ../DIR or /DIR')
    .option('--blocks <a:b>', 'the blocks from A up to, and without, B')
    .option('--embed', 'with the embeddings')
    .option('--head', 'with the final norm and the output head')
    .option('--drop <a:b>', 'remove these blocks from the directory')
    .option('--drop-embed', 'remove the embeddings from the directory')
    .option('--drop-head', 'remove the head from the directory')
    .option(
      '--store <urls>',
      'addresses of stores, separated by commas (default: CALYX_STORE, the cluster that was joined, or this machine)',
    )
    .option('--into <directory>', "the slice's directory; needed unless a model directory is only planned")
    .option('--budget <size>', 'the most that the directory may take: 500MB, 64GiB, ...')
    .option('--sync', 'wait until the disk has each part before it is shown, so that it survives a power cut')
    .option('--dry-run', 'only say what would be fetched')
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((model: string, options: FetchCommandOptions) =>
      runCommand(options, async (signal) => {
        checkAsked(options);
        if (isLocalModel(model)) {
          const plan = await planDirectory(model, options);
          if (options.json === true) printJson(localToJson(model, plan, options));
          else printLocal(model, plan);
          return 0;
        }
        const into = requireInto(options);
        const bar = progressBar('fetching');
        const fetched = await fetchModel({
          spec: parseModelSpec(model),
          stores: await storeAccess(options.store),
          into,
          add: (count) => selectParts(options.blocks, options.embed, options.head, count),
          drop: (count) => selectParts(options.drop, options.dropEmbed, options.dropHead, count),
          ...(options.budget === undefined ? {} : { budgetBytes: parseSize(options.budget) }),
          dryRun: options.dryRun === true,
          sync: options.sync === true,
          signal,
          onTotal: (bytes) => bar.start(bytes),
          onBytes: (bytes) => bar.add(bytes),
        }).finally(() => bar.stop());
        if (options.json === true) printJson(toJson(fetched, options));
        else printResult(fetched, into, options);
        return 0;
      }),
    );
}

function checkAsked(options: FetchCommandOptions): void {
  const { blocks, embed, head, drop, dropEmbed, dropHead } = options;
  // Ranges that no model has are told before a store is asked.
  for (const range of [blocks, drop]) if (range !== undefined) parseBlockRange(range);
  if ([blocks, embed, head, drop, dropEmbed, dropHead].some((option) => option !== undefined)) return;
  throw new CalyxError('usage', 'nothing to fetch was named', {
    hint: 'say which blocks: --blocks 0:4, and --embed or --head if needed',
  });
}

function requireInto({ into }: FetchCommandOptions): string {
  if (into !== undefined) return into;
  throw new CalyxError('usage', 'where to write the slice was not said', {
    hint: 'name its directory: --into DIRECTORY',
  });
}

/** A plan for blocks of a model directory of this disk; fetching itself is from stores only. */
async function planDirectory(directory: string, options: FetchCommandOptions): Promise<LocalPlan> {
  const { blocks, embed, head, drop, dropEmbed, dropHead, into, budget, dryRun } = options;
  if (dryRun !== true) {
    throw new CalyxError(
      'usage',
      `${directory} is a directory of this disk, and blocks are fetched from a store`,
      {
        hint: `publish it first: calyx add ${directory} --name ORG/NAME; or only plan it with --dry-run`,
      },
    );
  }
  if ([drop, dropEmbed, dropHead, options.store].some((option) => option !== undefined)) {
    throw new CalyxError('usage', 'a plan for a model directory knows neither a store nor what to drop', {
      hint: 'leave out --store, --drop, --drop-embed and --drop-head',
    });
  }
  return planLocal({
    directory,
    add: (count) => selectParts(blocks, embed, head, count),
    ...(into === undefined ? {} : { into }),
    ...(budget === undefined ? {} : { budgetBytes: parseSize(budget) }),
  });
}

function selectParts(blocks: string | undefined, embed = false, head = false, blockCount: number): PartId[] {
  return partsOfRange(blocks === undefined ? undefined : parseBlockRange(blocks, blockCount), embed, head);
}

function toJson(fetched: FetchedModel, options: FetchCommandOptions): unknown {
  const {
    model,
    revision,
    bytesNeeded,
    bytesFetched,
    bytesOnDisk,
    budgetNeeded,
    chunks,
    retries,
    parts,
    manifestBytes,
    seconds,
    problem,
  } = fetched;
  return {
    model,
    revision: revision.revision,
    blocks: options.blocks ?? null,
    embed: options.embed === true,
    head: options.head === true,
    bytesNeeded,
    bytesFetched,
    bytesOnDisk,
    budgetNeeded,
    manifestBytes,
    chunks,
    retries,
    seconds,
    parts,
    dryRun: options.dryRun === true,
    ...(problem !== undefined && { problem }),
  };
}

function printResult(fetched: FetchedModel, into: string, options: FetchCommandOptions): void {
  const { model, revision, bytesNeeded, bytesFetched, bytesOnDisk, chunks, retries, seconds } = fetched;
  const name = `${model}@${revision.revision}`;
  if (options.dryRun === true) {
    print(
      `${name}: would fetch ${formatSize(bytesFetched)} (${plural(chunks, 'chunk')}) of ${formatSize(bytesNeeded)} needed; ${into} would take ${formatSize(bytesOnDisk)}, a budget of at least ${fetched.budgetNeeded} bytes`,
    );
    if (fetched.problem !== undefined) note(`as it is now, it would fail: ${fetched.problem}`);
    return;
  }
  const again = retries > 0 ? `, ${retries} retries` : '';
  print(
    `${name}: fetched ${formatSize(bytesFetched)} (${plural(chunks, 'chunk')}${again}) in ${formatSeconds(seconds)}; ${into} takes ${formatSize(bytesOnDisk)}`,
  );
}

function localToJson(directory: string, plan: LocalPlan, options: FetchCommandOptions): unknown {
  const { blocks = null, embed = false, head = false } = options;
  return { model: directory, revision: null, blocks, embed, head, ...plan, retries: 0, dryRun: true };
}

function printLocal(directory: string, { bytesFetched, chunks, bytesOnDisk }: LocalPlan): void {
  print(
    `${directory}: once published, a fetch would take ${formatSize(bytesFetched)} (${plural(chunks, 'chunk')}), or less if some have equal content; the slice would take ${formatSize(bytesOnDisk)}`,
  );
}
