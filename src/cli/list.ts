import type { Command } from 'commander';
import { awaitedModels, listModels } from '../app/catalog/list-models.js';
import { formatSize } from '../core/units.js';
import { print, printJson, printTable } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

/** `calyx list`: the models in a store's data directory. */
export function listCommand(program: Command): void {
  program
    .command('list')
    .description("list the models in the store's data directory")
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option('--json', 'print the list as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: CommonOptions & { readonly data?: string }) =>
      runCommand(options, async () => {
        const directory = chosenDirectory(options.data, defaultDataDirectory);
        const models = await listModels(directory);
        const awaited = await awaitedModels(directory);
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
