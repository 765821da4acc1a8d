import type { Command } from 'commander';
import { commandManager } from '../app/store/manage.js';
import { whichOf } from '../app/store/manage-revisions.js';
import { CalyxError } from '../core/errors.js';
import { formatModelName, parseModelName, parseModelSpec, parseRevision } from '../core/names.js';
import { chosenLayout, DATA_OPTION } from './data-option.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { print, printJson } from './terminal.js';

interface PinOptions extends CommonOptions {
  readonly data?: string;
}

/** `calyx pin MODEL@REV [NAME]`: keeps a revision. */
export function pinCommand(program: Command): void {
  program
    .command('pin')
    .description('keep a revision: neither gc nor remove takes it until it is unpinned')
    .argument('<model>', 'ORG/NAME@REVISION: an id, its first digits, or a ref; without one, what main names now')
    .argument('[name]', "how the pin is called, such as 'production' (default: the revision's id)")
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((text: string, name: string | undefined, options: PinOptions) =>
      runCommand(options, async (signal) => {
        const spec = parseModelSpec(text);
        if (name !== undefined) parseRevision(name);
        const pinned = await commandManager(chosenLayout(options.data), signal).pin(spec, name);
        const model = formatModelName(spec.model);
        if (options.json === true) printJson({ model, ...pinned });
        else {
          const { revision, changed } = pinned;
          const called = pinned.name === revision ? '' : ` as '${pinned.name}'`;
          print(`${model}@${revision} is ${changed ? '' : 'already '}pinned${called}`);
        }
        return 0;
      }),
    );
} // prettier-ignore

/** `calyx unpin MODEL@REV [NAME]`, `calyx unpin MODEL NAME`: lets a revision go. */
export function unpinCommand(program: Command): void {
  program
    .command('unpin')
    .description('let a revision go that was pinned')
    .argument('<model>', 'ORG/NAME@REVISION for all pins of a revision; ORG/NAME with the name of a pin')
    .argument('[name]', 'the one pin to take away')
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((text: string, name: string | undefined, options: PinOptions) =>
      runCommand(options, async (signal) => {
        const at = text.indexOf('@');
        const model = parseModelName(at < 0 ? text : text.slice(0, at));
        const revision = at < 0 ? undefined : parseRevision(text.slice(at + 1));
        if (revision === undefined && name === undefined) {
          throw new CalyxError('usage', 'which pin is meant was not said', {
            hint: `name a revision (calyx unpin ${formatModelName(model)}@REVISION) or a pin (calyx unpin ${formatModelName(model)} NAME); calyx list --revisions shows them`,
          });
        }
        if (name !== undefined) parseRevision(name);
        const manager = commandManager(chosenLayout(options.data), signal);
        const { removed, left } = await manager.unpin(model, whichOf(revision, name));
        const called = formatModelName(model);
        if (options.json === true) printJson({ model: called, removed, left });
        else if (removed.length > 0) print(`took away of ${called}: ${removed.join(', ')}`);
        else print(`${called} has no such pin; ${left.length === 0 ? 'it has none' : `it has ${left.join(', ')}`}`);
        return 0;
      }),
    );
} // prettier-ignore
