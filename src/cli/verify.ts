import type { Command } from 'commander';
import { verifyStore } from '../app/catalog/verify-store.js';
import { parseModelSpec } from '../core/names.js';
import { formatSize, plural } from '../core/units.js';
import { print, printJson, progressBar } from './terminal.js';
import { EXIT, runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

/** `calyx verify [MODEL]`: reads all content again. */
export function verifyCommand(program: Command): void {
  program
    .command('verify')
    .description(
      'read all content of the store again and compare it with its digests; exit code 1 if a chunk is bad',
    )
    .argument('[model]', 'ORG/NAME[@REVISION]; all revisions of all models if not given')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option('--json', 'print the findings as JSON')
    .option('--verbose', 'show where errors come from')
    .action((model: string | undefined, options: CommonOptions & { readonly data?: string }) =>
      runCommand(options, async (signal) => {
        const bar = progressBar('verifying');
        const verified = await verifyStore({
          dataDirectory: chosenDirectory(options.data, defaultDataDirectory),
          ...(model === undefined ? {} : { only: parseModelSpec(model) }),
          signal,
          onTotal: (bytes) => bar.start(bytes),
          onBytes: (bytes) => bar.add(bytes),
        }).finally(() => bar.stop());
        const bad = verified.reduce((sum, { findings }) => sum + findings.length, 0);
        if (options.json === true) printJson({ ok: bad === 0, models: verified });
        else {
          for (const { model: name, revision, bytes, findings } of verified) {
            print(
              `${name}@${revision}: ${findings.length === 0 ? `good, ${formatSize(bytes)}` : plural(findings.length, 'finding')}`,
            );
            for (const { path, tensor, problem, blobPath } of findings) {
              print(`  ${path}${tensor === undefined ? '' : `, tensor ${tensor}`}: ${problem}`);
              print(`    ${blobPath}`);
            }
          }
          if (bad > 0)
            print(
              'add the models that have findings again from a good copy: calyx remove MODEL, then calyx add DIRECTORY --name MODEL',
            );
          if (verified.length === 0) print('no models to verify');
        }
        return bad === 0 ? 0 : EXIT.failure;
      }),
    );
}
