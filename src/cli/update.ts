import type { Command } from 'commander';
import { updateModel } from '../app/catalog/update-model.js';
import { formatModelName, parseModelName } from '../core/names.js';
import { formatSize } from '../core/units.js';
import { chosenLayout, DATA_OPTION } from './data-option.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { note, print, printJson, progressBar } from './terminal.js';

/** `calyx update MODEL [SOURCE]`: publishes a new revision from where the model came. */
export function updateCommand(program: Command): void {
  program
    .command('update')
    .description('publish a new revision of a model from where it came; only what changed is moved')
    .argument('<model>', 'ORG/NAME')
    .argument('[source]', 'where it comes from now, also at the next update (default: where it came from last)')
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((name: string, source: string | undefined, options: CommonOptions & { readonly data?: string }) =>
      runCommand(options, async (signal) => {
        const model = parseModelName(name);
        const bar = progressBar('updating');
        const updated = await updateModel({
          dataDirectory: chosenLayout(options.data).root,
          model,
          source,
          signal,
          onTotal: (bytes) => bar.start(bytes),
          onBytes: (bytes) => bar.add(bytes),
          onNotice: note,
        }).finally(() => bar.stop());
        const called = formatModelName(model);
        if (options.json === true) printJson({ model: called, ...updated });
        else if (!updated.changed) print(`${called} is up to date: ${updated.revision}`);
        else
          print(
            `published ${called}@${updated.revision} from ${updated.source}: ${formatSize(updated.importedBytes)} of ${formatSize(updated.bytes)} were new`,
          );
        return 0;
      }),
    );
} // prettier-ignore
