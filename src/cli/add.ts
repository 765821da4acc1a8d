import { Option, type Command } from 'commander';
import { addModel, type Added } from '../app/catalog/add-model.js';
import { addRemote } from '../app/catalog/add-remote.js';
import { describeSource, nameOfSource, parseAddSource, type AddSource } from '../app/catalog/add-source.js';
import { openRemote } from '../app/catalog/open-remote.js';
import { planDirectory, planFromRemote, type AddPlan } from '../app/catalog/plan-add.js';
import { CalyxError } from '../core/errors.js';
import { formatModelName, parseModelName, type ModelName } from '../core/names.js';
import { formatSize, plural } from '../core/units.js';
import { note, print, printJson, printTable, progressBar } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

interface AddCommandOptions extends CommonOptions {
  readonly name?: string;
  readonly data?: string;
  readonly link?: boolean;
  readonly reflink?: boolean;
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  readonly dryRun?: boolean;
}

/** `calyx add SOURCE [--name ORG/NAME]`: publishes a model. */
export function addCommand(program: Command): void {
  const gather = (pattern: string, before: readonly string[] = []): string[] => [...before, pattern];
  program
    .command('add')
    .description("publish a model into the store's data directory; interrupted, the next call goes on")
    .argument(
      '<source>',
      'a model directory; a snapshot in a Hugging Face cache (models--ORG--NAME); ORG/NAME[@REV] of the Hub (or HF_ENDPOINT, with HF_TOKEN); ' +
        'https://HOST/ORG/NAME[@REV] of a mirror of it or of another store; or s3://BUCKET/PREFIX (needs --name)',
    )
    .option(
      '--name <org/name>',
      'the name under which it is published (default: the one that the source has)',
    )
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option('--include <pattern>', "only files such as these: '*.json' (may be given several times)", gather)
    .option('--exclude <pattern>', "no files such as these: 'original/*', '*.bin' (several times)", gather)
    .option(
      '--link',
      'of a directory: hard links instead of copies where the file system allows; then nobody may write to the originals',
    )
    .addOption(
      new Option(
        '--reflink',
        'of a directory: clones that share their space on the disk, where the file system allows',
      ).conflicts('link'),
    )
    .option('--dry-run', 'only say what would be moved')
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((text: string, options: AddCommandOptions) =>
      runCommand(options, async (signal) => {
        const source = await parseAddSource(text, note);
        const model = modelOf(source, options);
        if (options.dryRun === true) {
          const plan = await planOf(source, model, options, signal);
          if (options.json === true) printJson(planToJson(model, plan));
          else printPlan(source, model, plan);
          return 0;
        }
        const added = await addSource(source, model, options, signal);
        if (options.json === true) printJson({ model: formatModelName(model), ...added });
        else print(tell(model, added));
        return 0;
      }),
    );
}

function modelOf(source: AddSource, { name }: AddCommandOptions): ModelName {
  if (name !== undefined) return parseModelName(name);
  const own = nameOfSource(source);
  if (own !== undefined) return own;
  throw new CalyxError('usage', `${describeSource(source)} does not say what the model is called`, {
    hint: 'give it a name: --name ORG/NAME',
  });
}

async function addSource(
  source: AddSource,
  model: ModelName,
  options: AddCommandOptions,
  signal: AbortSignal,
): Promise<Added> {
  const bar = progressBar(source.kind === 'directory' ? 'adding' : 'fetching');
  const common = {
    dataDirectory: chosenDirectory(options.data, defaultDataDirectory),
    model,
    patterns: options,
    signal,
    onTotal: (bytes: number) => bar.start(bytes),
    onBytes: (bytes: number) => bar.add(bytes),
    onNotice: note,
  };
  try {
    if (source.kind === 'directory') {
      const mode = options.link === true ? 'link' : options.reflink === true ? 'reflink' : 'copy';
      return await addModel({ ...common, ...source, mode });
    }
    const remote = await openRemote(source, signal, note);
    try {
      return await addRemote({ ...common, remote });
    } finally {
      await remote.close();
    }
  } finally {
    bar.stop();
  }
}

async function planOf(
  source: AddSource,
  model: ModelName,
  options: AddCommandOptions,
  signal: AbortSignal,
): Promise<AddPlan> {
  if (source.kind === 'directory')
    return planDirectory(source.directory, model, options, source.snapshot?.revision);
  const remote = await openRemote(source, signal, note);
  try {
    const data = chosenDirectory(options.data, defaultDataDirectory);
    return await planFromRemote(data, remote, model, options, signal);
  } finally {
    await remote.close();
  }
}

function tell(model: ModelName, { changed, revision, blocks, files, bytes, fetchedBytes }: Added): string {
  if (!changed) return `${formatModelName(model)} is already published as revision ${revision}`;
  const moved =
    fetchedBytes === undefined || fetchedBytes === bytes
      ? ''
      : `, ${formatSize(fetchedBytes)} of it fetched now`;
  return `published ${formatModelName(model)}@${revision}: ${blocks} blocks, ${files} files, ${formatSize(bytes)}${moved}`;
}

const sumOf = (plan: AddPlan, what: 'bytes' | 'movedBytes'): number =>
  plan.files.reduce((sum, file) => sum + file[what], 0);

function planToJson(model: ModelName, plan: AddPlan): unknown {
  const [bytes, movedBytes] = [sumOf(plan, 'bytes'), sumOf(plan, 'movedBytes')];
  return { model: formatModelName(model), dryRun: true, ...plan, bytes, movedBytes };
}

function printPlan(source: AddSource, model: ModelName, plan: AddPlan): void {
  if (plan.isPublished) {
    print(`${formatModelName(model)}@${plan.revision ?? ''} is published: nothing would be moved`);
    return;
  }
  printTable(
    ['file', 'size', 'to move'],
    plan.files.map(({ path, bytes, movedBytes }) => [
      path,
      formatSize(bytes),
      movedBytes === 0 && bytes > 0 ? 'it is there' : formatSize(movedBytes),
    ]),
    [1, 2],
  );
  print('');
  print(
    `${describeSource(source)} would be ${formatModelName(model)}${plan.revision === undefined ? '' : `@${plan.revision}`}: ` +
      `${plural(plan.files.length, 'file')}, ${formatSize(sumOf(plan, 'bytes'))}, of which ${formatSize(sumOf(plan, 'movedBytes'))} would be moved`,
  );
}
