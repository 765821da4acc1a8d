/**
 * The program of rounds: for each job that it is sent it mounts, reads, unmounts, and sends what it found. A process of its own,
 * because reading from a server that went away can only be ended by a signal; and mostly in a mount namespace of its own, so
 * that its mounts end with it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { RoundJob, RoundResult } from './round-job.js';

const STREAM_BYTES = 8 * 2 ** 20;
const SMALL_BYTES = 128 * 2 ** 10;
/** What versions are compared by. */
const FIRST_BYTES = 2 ** 20;
const ATTRIBUTES_MS = 200;
const UMOUNT_MS = 5_000;

let directory: string | undefined;

// Whoever started us is gone, so the mount is ours to end where no namespace does.
process.once('disconnect', () => {
  if (directory !== undefined) {
    spawnSync('umount', ['-l', '-i', directory], { stdio: 'ignore', timeout: UMOUNT_MS });
    rmdirSync(directory);
  }
  process.kill(-process.pid, 'SIGKILL');
});
process.on('message', (job: RoundJob) => {
  void round(job).then(
    (result) => process.send?.(result),
    (error: unknown) => process.send?.({ error: error instanceof Error ? error.message : String(error) }),
  );
});

async function round(job: RoundJob): Promise<RoundResult> {
  directory = job.directory;
  const mountArguments = [...(job.helper ? [] : ['-i']), '-t', 'nfs', '-o', job.options];
  await run('mount', [...mountArguments, job.source, job.directory]);
  try {
    return measure(job);
  } finally {
    await run('umount', ['-i', job.directory]).catch(() => run('umount', ['-l', '-i', job.directory]));
  }
}

function measure({ directory, file, reads, readAheadKb, attributes, bytes, ms }: RoundJob): RoundResult {
  const knob = `/sys/class/bdi/${deviceOf(directory)}/read_ahead_kb`;
  const found = readNumber(knob);
  if (readAheadKb !== undefined) writeFileSync(knob, String(readAheadKb));
  const path = join(directory, file);
  const streamed = readFor(path, reads === 'stream' ? STREAM_BYTES : SMALL_BYTES, bytes, ms);
  return {
    ...streamed,
    digest: digestOfStart(path),
    foundReadAheadKb: found,
    attributesPerSecond: attributeRate(attributes.map((each) => join(directory, each))),
  };
}

function readFor(
  path: string,
  pieceBytes: number,
  maxBytes: number,
  ms: number,
): { bytes: number; seconds: number } {
  const buffer = Buffer.allocUnsafeSlow(pieceBytes);
  const start = performance.now();
  const descriptor = openSync(path, 'r');
  let bytes = 0;
  try {
    while (bytes < maxBytes && performance.now() - start < ms) {
      const read = readSync(descriptor, buffer, 0, Math.min(pieceBytes, maxBytes - bytes), bytes);
      if (read === 0) break;
      bytes += read;
    }
  } finally {
    closeSync(descriptor);
  }
  return { bytes, seconds: (performance.now() - start) / 1000 };
}

/** From the page cache: this was just read. */
function digestOfStart(path: string): string {
  const buffer = Buffer.alloc(FIRST_BYTES);
  const descriptor = openSync(path, 'r');
  try {
    let filled = 0;
    for (let read = -1; read !== 0 && filled < FIRST_BYTES; filled += read)
      read = readSync(descriptor, buffer, filled, FIRST_BYTES - filled, filled);
    return createHash('sha256').update(buffer.subarray(0, filled)).digest('hex');
  } finally {
    closeSync(descriptor);
  }
}

/** Nothing of a fresh mount is in a cache, so each file is asked for. */
function attributeRate(paths: readonly string[]): number | undefined {
  if (paths.length === 0) return undefined;
  const start = performance.now();
  let asked = 0;
  for (const path of paths) {
    if (performance.now() - start > ATTRIBUTES_MS) break;
    lstatSync(path, { throwIfNoEntry: false });
    asked += 1;
  }
  return asked / ((performance.now() - start) / 1000);
}

/** As sysfs names the device of a file system: the numbers of Linux, of which libc shows twelve and twenty bits. */
function deviceOf(path: string): string {
  const { dev } = statSync(path, { bigint: true });
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

function readNumber(path: string): number | undefined {
  try {
    return Number(readFileSync(path, 'utf8'));
  } catch {
    return undefined;
  }
}

/** Runs a program; rejects with the last line that it said. */
function run(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)));
    child.once('error', (error) => reject(new Error(`${command}: ${error.message}`)));
    child.once('close', (code) => {
      const last = said.trim().split('\n').at(-1) ?? '';
      if (code === 0) resolve();
      else reject(new Error(last === '' ? `${command} ended with ${code ?? 'a signal'}` : last));
    });
  });
}
