import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The command line as users start it. */
export const CALYX = fileURLToPath(new URL('../../../bin/calyx.mjs', import.meta.url));

/** A process that did not do what it was started for. */
export class ProcessError extends Error {}

/** What a process wrote and took. */
export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
  /** From its start to its end. */
  readonly seconds: number;
  /** Highest resident memory; undefined where the kernel does not tell. */
  readonly peakBytes: number | undefined;
}

/** Its own peak, written to descriptor 3 at the end; `ru_maxrss` would count the memory of the process that started it. */
const TELL_PEAK = `data:text/javascript,${encodeURIComponent(`
import { readFileSync, writeSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (isMainThread) process.on('exit', () => {
  try { writeSync(3, /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]); } catch {}
});`)}`;

/** Runs a Calyx command to its end, with its peak of resident memory. */
export async function runCalyx(args: readonly string[]): Promise<Finished> {
  const start = performance.now();
  const child = spawn(process.execPath, ['--import', TELL_PEAK, CALYX, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const end = ended(child);
  const pipes = child.stdio as unknown as Readable[];
  const [stdout, stderr, peak] = await Promise.all(pipes.slice(1, 4).map((pipe) => text(pipe)));
  const exitCode = await end;
  return {
    stdout: stdout ?? '',
    stderr: stderr ?? '',
    exitCode,
    seconds: (performance.now() - start) / 1000,
    peakBytes: peak === undefined || peak === '' ? undefined : Number(peak) * 1024,
  };
}

/** Runs a Calyx command that must succeed, and reads the JSON that it prints. Throws {@link ProcessError}. */
export async function runCalyxJson(args: readonly string[]): Promise<Finished & { readonly json: unknown }> {
  const finished = await runCalyx([...args, '--json']);
  if (finished.exitCode !== 0) {
    throw new ProcessError(`calyx ${args.join(' ')} ended with ${finished.exitCode}: ${finished.stderr}`);
  }
  return { ...finished, json: JSON.parse(finished.stdout) };
}

/** Runs a shell command that must succeed. Returns its wall time in seconds; throws {@link ProcessError}. */
export async function runShell(command: string): Promise<number> {
  const start = performance.now();
  const child = spawn('/bin/sh', ['-c', command], { stdio: ['ignore', 'ignore', 'pipe'] });
  const [stderr, exitCode] = await Promise.all([text(child.stderr), ended(child)]);
  if (exitCode !== 0) throw new ProcessError(`'${command}' ended with ${exitCode}: ${stderr}`);
  return (performance.now() - start) / 1000;
}

/** A server that runs as a child of this process. */
export interface Server {
  readonly pid: number;
  /** Highest resident memory so far in bytes; undefined where the kernel does not tell. */
  peakBytes(): number | undefined;
  /** Ends it by its id and waits until it has ended. */
  stop(): Promise<void>;
}

/** Starts `calyx store` on a free port and waits until it listens. */
export async function startStore(
  dataDirectory: string,
  nodeOptions: readonly string[] = [],
  args: readonly string[] = [],
): Promise<Server & { readonly url: string }> {
  const child = start(
    process.execPath,
    [...nodeOptions, CALYX, 'store', '--data', dataDirectory, '--listen', '127.0.0.1:0', '--json', ...args],
    ['ignore', 'pipe', 'inherit'],
  );
  const line = await firstLine(child, child.stdout, (text_) => text_.includes('listening'));
  return { ...server(child), url: (JSON.parse(line) as { url: string }).url };
}

/** Starts a program of ours that serves a directory and prints its address first. */
export async function startHub(
  program: string,
  directory: string,
): Promise<Server & { readonly url: string }> {
  const child = start(process.execPath, [program, directory], ['ignore', 'pipe', 'inherit']);
  const url = await firstLine(child, child.stdout, (line) => line.startsWith('http'));
  return { ...server(child), url };
}

/** Starts a server in the foreground and waits for the line on stderr by which it says that it is ready. */
export async function startServer(command: string, args: readonly string[], ready: RegExp): Promise<Server> {
  const child = start(command, args, ['ignore', 'ignore', 'pipe']);
  await firstLine(child, child.stderr, (line) => ready.test(line));
  return server(child);
}

function start(command: string, args: readonly string[], stdio: StdioOptions): ChildProcess {
  const child = spawn(command, args, { stdio });
  // If we end early, it ends too.
  const stop = (): void => void child.kill('SIGTERM');
  process.once('exit', stop);
  child.once('exit', () => process.off('exit', stop));
  return child;
}

async function firstLine(
  child: ChildProcess,
  stream: Readable | null,
  wanted: (line: string) => boolean,
): Promise<string> {
  if (stream === null) throw new ProcessError('the process has no such stream');
  const seen: string[] = [];
  const lines = createInterface({ input: stream });
  return new Promise((resolve, reject) => {
    lines.on('line', (line) => {
      if (wanted(line)) resolve(line);
      else if (seen.length < 20) seen.push(line);
    });
    child.once('error', reject);
    child.once('exit', (code) =>
      reject(new ProcessError(`${child.spawnfile} ended with ${code}: ${seen.join('\n')}`)),
    );
  });
}

function server(child: ChildProcess): Server {
  const pid = child.pid ?? 0;
  return {
    pid,
    peakBytes: () => {
      try {
        const kib = /VmHWM:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        return kib === undefined ? undefined : Number(kib) * 1024;
      } catch {
        return undefined;
      }
    },
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** To be called right after the start, so that the end is not missed. */
async function ended(child: ChildProcess): Promise<number> {
  const [code] = (await once(child, 'close')) as [number | null];
  return code ?? 1;
}
