import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from './directories.js';

const ENTRY = join(ROOT, 'bin/calyx.mjs');

/** How a process ended, and what it said. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process that runs. */
export interface Running {
  readonly child: ChildProcess;
  /** Resolves when it has ended and its pipes are closed. */
  readonly ended: Promise<Ended>;
}

/** A process that takes longer than this is stuck; no test file lasts so long. */
const STUCK_MS = 600_000;

/** Starts any program; its output is gathered. */
export function start(command: string, args: readonly string[], options: SpawnOptions = {}): Running {
  const child = spawn(command, args, { timeout: STUCK_MS, stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended };
}

/** The environment of a test's processes: nothing of the user's own settings. */
export function cleanEnvironment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(?:CALYX_|NODE_OPTIONS|VITEST|NO_COLOR|FORCE_COLOR)/.test(name),
  );
  return { ...Object.fromEntries(kept), ...extra };
}

/** Starts the command line, as users do. */
export function startCalyx(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: SpawnOptions = {},
): Running {
  return start(process.execPath, [ENTRY, ...args], { ...options, env: cleanEnvironment(env) });
}

/** Runs the command line to its end. */
export function calyx(...args: string[]): Promise<Ended> {
  return startCalyx(args).ended;
}

/** Runs the command line with `--json` and reads its answer; throws with all that it said unless it ended with code 0. */
export async function calyxJson(...args: string[]): Promise<Record<string, unknown>> {
  const ended = await calyx(...args, '--json');
  if (ended.code !== 0) throw new Error(`calyx ${args.join(' ')} ended with ${JSON.stringify(ended)}`);
  return JSON.parse(ended.stdout) as Record<string, unknown>;
}
