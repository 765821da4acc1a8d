import type { Command } from 'commander';
import { leave } from '../app/join/join.js';
import { print, printJson } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

/** `calyx leave`: forgets the cluster that was joined. */
export function leaveCommand(program: Command): void {
  program
    .command('leave')
    .description('forget the cluster that was joined, and its token')
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: CommonOptions) =>
      runCommand(options, async () => {
        const left = await leave();
        if (options.json === true) printJson({ left });
        else if (left) print("left the cluster; its token is good until 'calyx token revoke' on the store");
        else print('no cluster was joined');
        return 0;
      }),
    );
}
