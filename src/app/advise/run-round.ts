import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { abortReason } from '../../core/clock.js';
import { CalyxError } from '../../core/errors.js';
import type { RoundJob, RoundResult } from './round-job.js';

const PROGRAM = fileURLToPath(new URL('./mount-round.js', import.meta.url));
/** A mount that takes longer hangs: a wrong port, or a firewall. */
const MOUNT_MS = 10_000;
const UMOUNT_MS = 5_000;
/** A killed process is gone at once, unless the kernel has to say goodbye to the store for it. */
const END_MS = 3_000;

type Answer = RoundResult | { readonly error: string };

/** Runs rounds, one after the other, on one mount point that only we can enter. */
export class RoundRunner {
  readonly #directory: string;
  readonly #isolated: boolean;
  #process: ChildProcess | undefined;

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
    this.#process ??= this.#start();
    let answer: Answer;
    try {
      const whole: RoundJob = { ...job, directory: this.#directory };
      answer = await answerOf(this.#process, whole, MOUNT_MS + job.ms + UMOUNT_MS, signal);
    } catch (error) {
      await this.#end();
      throw error;
    }
    if ('error' in answer) throw new CalyxError('unavailable', answer.error);
    return answer;
  }

  /** Ends the process and removes the mount point. */
  async close(): Promise<void> {
    await this.#end();
    try {
      rmdirSync(this.#directory);
    } catch {
      // Something is still mounted there: umount has said why.
    }
  }

  #start(): ChildProcess {
    const command = [process.execPath, PROGRAM];
    const [file = '', ...args] = this.#isolated
      ? ['unshare', '--mount', '--propagation', 'private', ...command]
      : command;
    // A group of its own, so that mount and mount.nfs end with it, and Ctrl-C reaches us alone.
    return spawn(file, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true });
  }

  async #end(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined) return;
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit', { signal: AbortSignal.timeout(END_MS) });
      try {
        process.kill(-child.pid, 'SIGKILL');
        await ended;
      } catch {
        // It has ended already, or its kernel waits for a store that is gone: it ends when that gives up.
        if (child.connected) child.disconnect();
        child.unref();
      }
    }
    await this.#unmount();
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

/** What a process answers to a job; rejects at the deadline, when the signal fires, and when the process ends. */
function answerOf(child: ChildProcess, job: RoundJob, ms: number, signal: AbortSignal): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      child.off('message', onMessage).off('error', onError).off('exit', onExit);
      finish();
    };
    const onMessage = (answer: unknown): void => settle(() => resolve(answer as Answer));
    const onError = (error: Error): void => settle(() => reject(error));
    const onExit = (): void =>
      settle(() => reject(new CalyxError('unavailable', 'the process that mounts ended without a word')));
    const onAbort = (): void => settle(() => reject(abortReason(signal)));
    const timer = setTimeout(() => {
      settle(() =>
        reject(
          new CalyxError('timeout', `mounting and reading took longer than ${ms / 1000} s`, {
            hint: 'check that no firewall is between, and that the port is that of calyx store --nfs',
          }),
        ),
      );
    }, ms);
    signal.addEventListener('abort', onAbort, { once: true });
    child.on('message', onMessage).on('error', onError).on('exit', onExit);
    child.send(job);
  });
}
