import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abortReason } from '../../core/clock.js';
import { CalyxError } from '../../core/errors.js';
import type { RoundJob, RoundResult } from './round-job.js';

const PROGRAM = fileURLToPath(new URL('./mount-round.js', import.meta.url));
/** A mount that takes longer hangs: a wrong port, or a firewall. */
const MOUNT_MS = 15_000;
const UMOUNT_MS = 5_000;

/** Runs rounds, one after the other, on one mount point that only we can enter. */
export class RoundRunner {
  readonly #directory: string;
  readonly #isolated: boolean;

  constructor() {
    this.#directory = mkdtempSync(join(tmpdir(), 'calyx-advise-'));
    // Without a namespace of its own a mount is seen by all, and we are the ones who end it.
    this.#isolated = spawnSync('unshare', ['--mount', 'true'], { stdio: 'ignore' }).status === 0;
  }

  /**
   * Mounts, reads, unmounts. Whatever happens, nothing stays mounted.
   *
   * @throws CalyxError `unavailable` with what mount said, `timeout`; or the signal's reason
   */
  async run(job: Omit<RoundJob, 'directory'>, signal: AbortSignal): Promise<RoundResult> {
    signal.throwIfAborted();
    const whole: RoundJob = { ...job, directory: this.#directory };
    const command = [process.execPath, PROGRAM, JSON.stringify(whole)];
    const [file = '', ...args] = this.#isolated
      ? ['unshare', '--mount', '--propagation', 'private', ...command]
      : command;
    // A group of its own, so that mount and mount.nfs end with it.
    const child = spawn(file, args, { stdio: ['ignore', 'pipe', 'inherit', 'ipc'], detached: true });
    try {
      const said = await output(child, MOUNT_MS + 2 * job.ms + UMOUNT_MS, signal);
      const answer = JSON.parse(said) as RoundResult | { readonly error: string };
      if ('error' in answer) throw new CalyxError('unavailable', answer.error);
      return answer;
    } finally {
      await this.#unmount();
    }
  }

  /** Removes the mount point. */
  close(): void {
    try {
      rmdirSync(this.#directory);
    } catch {
      // Not empty: something is still mounted there, which was told.
    }
  }

  /** For a round that was killed before it could unmount, where no namespace did it. */
  #unmount(): Promise<void> {
    const table = readFileSync('/proc/self/mounts', 'utf8');
    if (this.#isolated || !table.includes(` ${this.#directory} `)) return Promise.resolve();
    return new Promise((resolve) => {
      const child = spawn('umount', ['-l', '-i', this.#directory], { stdio: 'inherit', timeout: UMOUNT_MS });
      child.once('error', () => resolve());
      child.once('close', () => resolve());
    });
  }
}

/** What a process prints until it ends; it is killed with its group at the deadline and when the signal fires. */
function output(child: ChildProcess, ms: number, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    let ended: Error | undefined;
    const kill = (error: Error): void => {
      ended ??= error;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // It has ended already.
      }
    };
    const onAbort = (): void => kill(abortReason(signal));
    const timer = setTimeout(() => {
      kill(
        new CalyxError('timeout', `mounting and reading took longer than ${ms / 1000} s`, {
          hint: 'check that no firewall is between, and that the port is that of calyx store --nfs',
        }),
      );
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    child.once('error', (error) => (ended ??= error));
    child.once('close', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      if (ended !== undefined) reject(ended);
      else if (text === '') reject(new CalyxError('unavailable', 'the round ended without a word'));
      else resolve(text);
    });
  });
}
