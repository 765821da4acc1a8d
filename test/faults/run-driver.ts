import { spawn, spawnSync, type SpawnOptions } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { DriverAnswer, DriverTask } from './add-driver.js';

const DRIVER = fileURLToPath(new URL('./add-driver.js', import.meta.url));

/** Far above what any task takes. */
const DEADLINE_MS = 60_000;

/** The command that runs a task. */
export function driverCommand(task: DriverTask): string[] {
  return [process.execPath, DRIVER, JSON.stringify(task)];
}

/** Runs a task to its end, by default as a plain child process. `wrap` may put another command before it. */
export function runDriver(
  task: DriverTask,
  options: SpawnOptions = {},
  wrap: (command: string[]) => string[] = (command) => command,
): DriverAnswer {
  const [file = '', ...rest] = wrap(driverCommand(task));
  const run = spawnSync(file, rest, { ...options, stdio: ['ignore', 'pipe', 'pipe'], timeout: DEADLINE_MS });
  const line = run.stdout.toString().trimEnd().split('\n').at(-1) ?? '';
  if (run.status !== 0) throw new Error(`the driver failed (${run.status}): ${run.stderr.toString()}`);
  return JSON.parse(line) as DriverAnswer;
}

/**
 * Runs a task and kills it with SIGKILL, `delayMs` after it began to work.
 *
 * @returns what it answered, if it was faster
 */
export async function killDriver(task: DriverTask, delayMs: number): Promise<DriverAnswer | undefined> {
  const [file = '', ...rest] = driverCommand(task);
  const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  let timer: NodeJS.Timeout | undefined;
  child.stdout.on('data', (text: Buffer) => {
    output += text.toString();
    timer ??= setTimeout(() => child.kill('SIGKILL'), delayMs);
  });
  await new Promise((resolve) => child.once('close', resolve));
  clearTimeout(timer);
  const line = output.split('\n')[1] ?? '';
  return line.startsWith('{') ? (JSON.parse(line) as DriverAnswer) : undefined;
}

/** Numbers in [0, 1) that are the same in each run: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
