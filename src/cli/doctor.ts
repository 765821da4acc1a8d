import { resolve } from 'node:path';
import type { Command } from 'commander';
import { diagnose } from '../app/doctor/diagnose.js';
import { CalyxError } from '../core/errors.js';
import { printFindings, toReport } from './doctor-report.js';
import { EXIT, runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory, defaultNodeDirectory } from './settings.js';
import { printJson } from './terminal.js';

interface DoctorOptions extends CommonOptions {
  readonly data?: string;
  readonly store?: string;
}

/** `calyx doctor`: what is wrong with this machine or a store, and the way out. */
export function doctorCommand(program: Command): void {
  program
    .command('doctor')
    .description('look at this machine and its store: what is wrong, and the way out; changes nothing')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory, if it is there)",
    )
    .option('--store <urls>', 'stores to go to, separated by commas (default: those that commands ask here)')
    .option('--json', 'print the findings as JSON')
    .option('--verbose', 'show where errors come from')
    .action(async (options: DoctorOptions) => {
      await runCommand(options, async (signal) => {
        if (options.store?.trim() === '')
          throw new CalyxError('usage', '--store names no store', {
            hint: 'is a variable in the command unset?',
          });
        const findings = await diagnose(
          {
            dataDirectory: resolve(chosenDirectory(options.data, defaultDataDirectory)),
            dataNamed: options.data !== undefined || Boolean(process.env['CALYX_DATA']),
            store: options.store,
            nodeDirectory: resolve(defaultNodeDirectory()),
            env: process.env,
          },
          signal,
        );
        if (options.json === true) printJson(toReport(findings));
        else printFindings(findings);
        return findings.some(({ severity }) => severity === 'problem') ? EXIT.failure : 0;
      });
      // What hangs, such as a name server or a dead mount, must not keep us; everything is printed by now.
      process.exit();
    });
}
