import { resolve } from 'node:path';
import type { Command } from 'commander';
import { commandManager } from '../app/store/manage.js';
import { StoreLayout } from '../catalog/store-layout.js';
import { formatModelName, parseModelName } from '../core/names.js';
import { formatSize } from '../core/units.js';
import { print, printJson } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

/** `calyx remove MODEL`: takes a model off the store. */
export function removeCommand(program: Command): void {
  program
    .command('remove')
    .description('remove a model with all its revisions from the store')
    .argument('<model>', 'ORG/NAME')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option('--force', 'also while somebody reads it over NFS')
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((name: string, options: CommonOptions & { readonly data?: string; readonly force?: boolean }) =>
      runCommand(options, async (signal) => {
        const model = parseModelName(name);
        const layout = new StoreLayout(resolve(chosenDirectory(options.data, defaultDataDirectory)));
        const { bytes } = await commandManager(layout, signal).remove(model, options.force === true);
        if (options.json === true) printJson({ model: formatModelName(model), bytes });
        else print(`removed ${formatModelName(model)}: ${formatSize(bytes)}`);
        return 0;
      }),
    );
}
