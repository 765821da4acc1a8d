import { Command, CommanderError } from 'commander';
import { CALYX_VERSION } from '../app/version.js';
import { COMMANDS } from './commands.js';
import { EXIT, exitCodeOf, printError } from './run-command.js';

const program = new Command('calyx')
  .description(
    'One full copy of a large language model for a whole cluster: every node reads only the blocks it runs.',
  )
  .version(CALYX_VERSION)
  .showHelpAfterError('(calyx --help shows the commands)')
  .exitOverride();

const asked = COMMANDS.get(process.argv[2] ?? '');
// For the help, and to tell what a misspelt command may have meant, all are needed.
for (const load of asked === undefined ? COMMANDS.values() : [asked]) (await load())(program);
for (const command of program.commands.flatMap((each) => [each, ...each.commands]))
  command.exitOverride().showHelpAfterError('(add --help to see the options)');

try {
  await program.parseAsync();
} catch (error) {
  // Help and version end here too, with exit code 0.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  else {
    printError(error, process.argv.includes('--verbose'));
    process.exitCode = exitCodeOf(error);
  }
}
