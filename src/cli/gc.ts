import type { Command } from 'commander';
import { commandManager } from '../app/store/manage.js';
import type { GarbageReport } from '../catalog/gc/collect-garbage.js';
import { CalyxError } from '../core/errors.js';
import { parseModelName } from '../core/names.js';
import { formatSize } from '../core/units.js';
import { chosenLayout, DATA_OPTION } from './data-option.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { print, printJson } from './terminal.js';

interface GcOptions extends CommonOptions {
  readonly data?: string;
  readonly keep: string;
  readonly dryRun?: boolean;
}

/** `calyx gc [MODEL]`: frees what nothing needs. */
export function gcCommand(program: Command): void {
  program
    .command('gc')
    .description(
      'remove revisions that no ref, pin, reader or running node needs, and all content that nothing needs then',
    )
    .argument('[model]', 'ORG/NAME; all models if not given')
    .option('--keep <n>', "so many of each model's newest revisions stay in any case", '1')
    .option('--dry-run', 'only say what would be done')
    .option(...DATA_OPTION)
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((name: string | undefined, options: GcOptions) =>
      runCommand(options, async (signal) => {
        const keep = parseCount(options.keep);
        const dryRun = options.dryRun === true;
        const model = name === undefined ? undefined : parseModelName(name);
        const manager = commandManager(chosenLayout(options.data), signal);
        const report = await manager.collect({ model, keep, dryRun });
        if (options.json === true) printJson({ dryRun, ...report });
        else printReport(report, dryRun);
        return 0;
      }),
    );
}

function parseCount(text: string): number {
  if (/^\d{1,6}$/.test(text)) return Number(text);
  throw new CalyxError('usage', `'${text.slice(0, 100)}' is not a number of revisions`, {
    hint: 'for example --keep 3',
  });
}

function printReport({ removed, kept, leftovers, skipped, bytes }: GarbageReport, dryRun: boolean): void {
  for (const { model, revision, reasons } of kept)
    print(`${dryRun ? 'would keep' : 'kept'} ${model}@${revision}: ${reasons.join(', ')}`);
  for (const { model, reason } of skipped) print(`left alone ${model}: ${reason}`);
  const remove = dryRun ? 'would remove' : 'removed';
  for (const { model, revision, bytes: own } of removed)
    print(`${remove} ${model}@${revision}: ${formatSize(own)} of its own`);
  for (const { model, what, bytes: size } of leftovers)
    print(`${remove} ${what}${model === undefined ? '' : ` of ${model}`}: ${formatSize(size)}`);
  print(`${dryRun ? 'would free' : 'freed'} ${formatSize(bytes)}`);
}
