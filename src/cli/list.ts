import type { Command } from 'commander';
import { awaitedModels, listModels } from '../app/catalog/list-models.js';
import { listRevisions, type ListedRevisions } from '../app/catalog/list-revisions.js';
import type { RevisionSummary } from '../app/store/revision-summary.js';
import { parseModelName } from '../core/names.js';
import { formatSeconds } from '../core/units.js';
import { chosenLayout } from './data-option.js';
import { formatSize } from '../core/units.js';
import { print, printJson, printTable } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

interface ListOptions extends CommonOptions {
  readonly data?: string;
  readonly revisions?: boolean;
}

/** `calyx list`: the models in a store's data directory. */
export function listCommand(program: Command): void {
  program
    .command('list')
    .description("list the models in the store's data directory, or their revisions")
    .argument('[model]', 'ORG/NAME; all models if not given')
    .option('--revisions', 'each revision: what names it, its size, and who uses it now')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option('--json', 'print the list as JSON')
    .option('--verbose', 'show where errors come from')
    .action((name: string | undefined, options: ListOptions) =>
      runCommand(options, async (signal) => {
        const only = name === undefined ? undefined : parseModelName(name);
        if (options.revisions === true) {
          printRevisions(await listRevisions(chosenLayout(options.data), only, signal), options);
          return 0;
        }
        const directory = chosenDirectory(options.data, defaultDataDirectory);
        const models = await listModels(directory, only);
        const awaited = await awaitedModels(directory, only);
        if (options.json === true) printJson({ models, ...(awaited.length > 0 && { awaited }) });
        else if (models.length === 0 && awaited.length === 0)
          print('no models; publish one with: calyx add DIRECTORY --name ORG/NAME');
        else {
          const rows = models.map((summary) =>
            'error' in summary
              ? [summary.model, '(damaged)', '-', '-', '-']
              : [
                  summary.model,
                  summary.revision,
                  String(summary.blocks),
                  String(summary.files),
                  formatSize(summary.bytes),
                ],
          );
          if (rows.length > 0) printTable(['model', 'revision', 'blocks', 'files', 'bytes'], rows, [2, 3, 4]);
          for (const { model, state } of awaited) print(`${model} (object storage): ${state}`);
          for (const summary of models) if ('error' in summary) print(`${summary.model}: ${summary.error}`);
        }
        return 0;
      }),
    );
}

function printRevisions({ revisions, damaged }: ListedRevisions, { json }: CommonOptions): void {
  if (json === true) {
    printJson({ revisions, ...(damaged.length > 0 && { damaged }) });
    return;
  }
  if (revisions.length + damaged.length === 0)
    print('no models; publish one with: calyx add DIRECTORY --name ORG/NAME');
  if (revisions.length > 0) {
    const rows = revisions.map((summary) => [
      summary.model,
      summary.revision,
      [...summary.refs, ...summary.pins.map((pin) => pinText(pin, summary))].join(', ') || '-',
      summary.publishedAt.replace('T', ' ').slice(0, 16),
      formatSize(summary.bytes),
      formatSize(summary.ownBytes),
      summary.users === null ? '?' : summary.users.map(userText).join(', ') || '-',
    ]);
    printTable(['model', 'revision', 'refs, pins', 'published (UTC)', 'bytes', 'its own', 'users'], rows, [4, 5]);
    if (revisions.some(({ users }) => users === null))
      print('who uses them is not known: the store that runs did not tell');
  }
  for (const { model, error } of damaged) print(`${model}: ${error}`);
} // prettier-ignore

function pinText(pin: string, { revision }: RevisionSummary): string {
  return pin === revision ? '(pinned)' : `${pin} (pin)`;
}

function userText({ by, idleSeconds, open, node }: NonNullable<RevisionSummary['users']>[number]): string {
  if (node) return `node ${by}`;
  if (idleSeconds === null || open > 0) return `${by} (reading)`;
  return `${by} (${formatSeconds(idleSeconds)} ago)`;
}
