import { addAbortSignal } from 'node:stream';
import type { Command } from 'commander';
import { join, type Joined } from '../app/join/join.js';
import { CalyxError } from '../core/errors.js';
import { note, print, printJson } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

/** `calyx join STRING`: later commands ask the stores of this cluster. */
export function joinCommand(program: Command): void {
  program
    .command('join')
    .description('join a cluster with the line that its store printed; later commands need no --store')
    .argument('<string>', "what 'calyx token create' printed: 'calyx://HOST:PORT/#TOKEN'; - reads it from the input")
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((argument: string, options: CommonOptions) =>
      runCommand(options, async (signal) => {
        const joined = await join(argument === '-' ? await readInput(signal) : argument, { signal });
        if (options.json === true) printJson(toJson(joined));
        else tell(joined);
        return 0;
      }),
    );
} // prettier-ignore

/** More than the longest join string has. */
const MAX_INPUT = 64 * 1024;

async function readInput(signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) note('paste the join string, then press Enter and Ctrl-D');
  let input = '';
  for await (const piece of addAbortSignal(signal, process.stdin.setEncoding('utf8'))) {
    input += String(piece);
    if (input.length > MAX_INPUT)
      throw new CalyxError('usage', 'the input is longer than any join string', {
        hint: "give it the one line that 'calyx token create' printed",
      });
  }
  return input;
}

function tell({ cluster, silent, files }: Joined): void {
  const { addresses, name, role, models, expiresAt } = cluster;
  print(`joined the cluster at ${addresses.join(', ')}`);
  const until = expiresAt === undefined ? '' : `, until ${new Date(expiresAt).toISOString()}`;
  print(`as ${name ?? 'somebody'}: role ${role ?? 'unknown'}, models ${models ?? 'unknown'}${until}`);
  for (const { problem } of silent) note(`could not be checked now: ${problem}`);
  note(`other programs know the store by ${files.ca}: curl --cacert, SSL_CERT_FILE, REQUESTS_CA_BUNDLE`);
}

/** Without the token. */
function toJson({ cluster, silent, files }: Joined): unknown {
  const { addresses, name, role, models, expiresAt } = cluster;
  return { addresses, name, role, models, expiresAt: expiresAt ?? null, silent, files };
}
