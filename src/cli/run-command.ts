import { CalyxError, errorMessage, isCalyxError } from '../core/errors.js';
import { printable } from '../core/printable.js';
import { stderrColors } from './terminal.js';

/** What every command can be told. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly verbose?: boolean;
}

/** Something else than success, told by its number alone. */
export const EXIT = { failure: 1, usage: 2, sigint: 130, sigpipe: 141, sigterm: 143 } as const;

/**
 * Runs a command: SIGINT and SIGTERM abort its signal, errors are told in one or two lines, and the exit code is set.
 *
 * @param command resolves with an exit code, 0 if it gives none
 * @param signalsAreSuccess true for servers, for which a signal is the regular end
 */
export async function runCommand(
  options: CommonOptions,
  command: (signal: AbortSignal) => Promise<number | undefined>,
  signalsAreSuccess = false,
): Promise<void> {
  const controller = new AbortController();
  let signalCode: number | undefined;
  const stop = (code: number) => (): void => {
    // A second signal does not wait for a clean end.
    if (signalCode !== undefined) process.exit(code);
    signalCode = code;
    controller.abort(new Error('interrupted'));
  };
  process.on('SIGINT', stop(EXIT.sigint)).on('SIGTERM', stop(EXIT.sigterm)).on('SIGHUP', stop(EXIT.sigterm));
  // Whoever started us with a channel wants us to end with it.
  process.once('disconnect', stop(EXIT.sigterm));
  let outputError: NodeJS.ErrnoException | undefined;
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    // Nobody reads on (as in `| head`), which ends the command as a signal does.
    if (error.code === 'EPIPE') stop(EXIT.sigpipe)();
    else outputError = error;
  });
  try {
    process.exitCode = (await command(controller.signal)) ?? 0;
  } catch (error) {
    if (signalCode !== undefined) {
      if (signalCode !== EXIT.sigpipe) process.stderr.write('interrupted\n');
    } else {
      printError(error, options.verbose === true);
      process.exitCode = exitCodeOf(error);
    }
  }
  // What was written last may still be on its way; its failure is told by then.
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  if (outputError !== undefined) {
    printError(
      new CalyxError('unreadable', `the output could not be written: ${outputError.message}`),
      false,
    );
    process.exitCode = EXIT.failure;
  }
  if (signalCode !== undefined) process.exitCode = signalsAreSuccess ? 0 : signalCode;
  if (process.connected) process.disconnect();
}

/** The exit code of a command that failed. */
export function exitCodeOf(error: unknown): number {
  return isCalyxError(error, 'usage') ? EXIT.usage : EXIT.failure;
}

/** Tells what happened, to which thing, and what to do next; with `verbose`, also where. */
export function printError(error: unknown, verbose: boolean): void {
  const { red, dim } = stderrColors;
  process.stderr.write(`${red('error:')} ${printable(errorMessage(error))}\n`);
  if (isCalyxError(error) && error.hint !== undefined) process.stderr.write(`  ${printable(error.hint)}\n`);
  if (!verbose) {
    if (!isCalyxError(error))
      process.stderr.write(`  this was not expected; --verbose shows where it happened\n`);
    return;
  }
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    process.stderr.write(dim(`${printable(cause.stack ?? cause.message)}\n`));
}

/** Resolves when the signal fires. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
