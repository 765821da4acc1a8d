import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { addCommand } from './add.js';
import { demoCommand } from './demo.js';
import { fetchCommand } from './fetch.js';
import { inspectCommand } from './inspect.js';
import { listCommand } from './list.js';
import { nodeCommand } from './node.js';
import { removeCommand } from './remove.js';
import { EXIT, printError } from './run-command.js';
import { runModelCommand } from './run.js';
import { storeCommand } from './store.js';
import { verifyCommand } from './verify.js';

const packageFile = new URL('../../../package.json', import.meta.url);
const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };

const program = new Command('calyx')
  .description(
    'One full copy of a large language model for a whole cluster: every node reads only the blocks it runs.',
  )
  .version(version)
  .showHelpAfterError('(calyx --help shows the commands)')
  .exitOverride();

for (const command of [
  inspectCommand,
  addCommand,
  listCommand,
  verifyCommand,
  removeCommand,
  storeCommand,
  fetchCommand,
  nodeCommand,
  runModelCommand,
  demoCommand,
]) {
  command(program);
}
for (const command of program.commands)
  command.exitOverride().showHelpAfterError('(add --help to see the options)');

try {
  await program.parseAsync();
} catch (error) {
  // Help and version end here too, with exit code 0.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.usage;
  else {
    printError(error, process.argv.includes('--verbose'));
    process.exitCode = EXIT.failure;
  }
}
