import { SingleBar } from 'cli-progress';
import Table from 'cli-table3';
import pc from 'picocolors';
import { printable, printableJson, printableLine } from '../core/printable.js';
import { formatSeconds, formatSize } from '../core/units.js';

/** Results go to stdout; everything else goes to stderr. */
export function print(text: string): void {
  process.stdout.write(`${printable(text)}\n`);
}

/** Writes a piece of text that a model generated. In a terminal nothing in it can do harm; in a file it is as it is. */
export function writeGenerated(piece: string): void {
  process.stdout.write(process.stdout.isTTY ? printable(piece) : piece);
}

/** Prints one JSON object or array to stdout. */
export function printJson(value: unknown): void {
  process.stdout.write(`${printableJson(JSON.stringify(value, null, process.stdout.isTTY ? 2 : 0))}\n`);
}

/** A word to the user while something goes on. */
export function note(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

/** Colours for stderr; none if it is no terminal or `NO_COLOR` is set. */
export const stderrColors = pc.createColors(isTerminal(process.stderr) && !process.env['NO_COLOR']);

/** Colours for stdout, as {@link stderrColors}. */
export const stdoutColors = pc.createColors(isTerminal(process.stdout) && !process.env['NO_COLOR']);

/** Undefined, which is what Node says of a pipe, would let the library decide for itself. */
function isTerminal({ isTTY }: { readonly isTTY?: boolean }): boolean {
  return isTTY === true;
}

/** Prints rows under headings, columns aligned; `right` names the columns with numbers. */
export function printTable(
  headings: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly number[] = [],
): void {
  const table = new Table({
    head: [...headings],
    colAligns: headings.map((_, column) => (right.includes(column) ? 'right' : 'left')),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: Object.fromEntries(
      [
        'top',
        'top-mid',
        'top-left',
        'top-right',
        'bottom',
        'bottom-mid',
        'bottom-left',
        'bottom-right',
        'left',
        'left-mid',
        'mid',
        'mid-mid',
        'right',
        'right-mid',
        'middle',
      ].map((part) => [part, '']),
    ),
  });
  table.push(...rows.map((row) => row.map(printableLine)));
  print(
    table
      .toString()
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n'),
  );
}

/** Shows how far something has come. */
export interface ProgressBar {
  start(totalBytes: number): void;
  add(bytes: number): void;
  stop(): void;
}

/** A bar with rate and time left on stderr if that is a terminal, else nothing. */
export function progressBar(what: string): ProgressBar {
  if (!process.stderr.isTTY) return { start: () => undefined, add: () => undefined, stop: () => undefined };
  let done = 0;
  let startedAt = 0;
  const bar = new SingleBar({
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    etaBuffer: 50,
    format: (_options, { progress, total, value }) => {
      const width = Math.max(10, Math.min(30, (process.stderr.columns || 80) - 60));
      const filled = Math.round(progress * width);
      const seconds = (performance.now() - startedAt) / 1000;
      const rate = seconds > 0 ? value / seconds : 0;
      const left = rate > 0 ? `, ${formatSeconds((total - value) / rate)} left` : '';
      return `${what} ${'█'.repeat(filled)}${'░'.repeat(width - filled)} ${formatSize(value)} / ${formatSize(total)}, ${formatSize(rate)}/s${left}`;
    },
  });
  return {
    start: (totalBytes) => {
      startedAt = performance.now();
      if (totalBytes > 0) bar.start(totalBytes, 0);
    },
    add: (bytes) => {
      done += bytes;
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
