import { pino, type Logger } from 'pino';

/** A log of JSON lines on stderr: warnings and errors, with `--verbose` everything. */
export function createLogger(name: string, verbose: boolean): Logger {
  const level = process.env['CALYX_LOG_LEVEL'] ?? (verbose ? 'debug' : 'warn');
  return pino(
    { name, level: LEVELS.includes(level) ? level : 'warn' },
    pino.destination({ dest: 2, sync: true }),
  );
}

const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];
