import type { Command } from 'commander';
import { commandManager } from '../app/store/manage.js';
import { DEFAULT_REF, formatModelName, parseModelName, parseRevision } from '../core/names.js';
import { chosenLayout, DATA_OPTION } from './data-option.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { print, printJson } from './terminal.js';

/** `calyx rollback MODEL REV`: makes `main` name a revision that is there. */
export function rollbackCommand(program: Command): void {
  program
    .command('rollback')
    .description('make main name another revision that the store has, an older or a newer one')
    .argument('<model>', 'ORG/NAME')
    .argument('<revision>', 'an id, its first digits, or a pin; calyx list --revisions shows them')
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((name: string, text: string, options: CommonOptions & { readonly data?: string }) =>
      runCommand(options, async (signal) => {
        const model = parseModelName(name);
        const manager = commandManager(chosenLayout(options.data), signal);
        const { ref, moved } = await manager.rollback({ model, revision: parseRevision(text) });
        const { revision, generation } = ref;
        if (options.json === true) printJson({ model: formatModelName(model), revision, generation, moved });
        else
          print(`${DEFAULT_REF} of ${formatModelName(model)} ${moved ? 'now names' : 'names already'} ${revision}`);
        return 0;
      }),
    );
} // prettier-ignore
