import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CalyxError } from '../../core/errors.js';

const COMMAND = fileURLToPath(new URL('../../../../bin/calyx.mjs', import.meta.url));

/** How long a process may take to end before it is killed. */
const GRACE_MS = 5_000;

/** Lines of stderr that an error quotes. */
const KEPT_LINES = 5;

/** One event that a process printed as a line of JSON. */
export type ChildEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/**
 * A `calyx` command as a process of its own, which prints events as lines of JSON. It is in a process group of its own, so that
 * Ctrl-C reaches us alone and we end it in order; and it ends by itself if we die.
 */
export class Child {
  readonly name: string;
  readonly #process: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #stderr: string[] = [];
  readonly #waiters = new Map<
    string,
    { resolve: (event: ChildEvent) => void; reject: (error: Error) => void }
  >();
  readonly #events = new Map<string, ChildEvent>();
  #failure: CalyxError | undefined;

  /** @param env beside our own environment: the place for secrets, for everyone can see arguments */
  constructor(name: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.name = name;
    this.#process = spawn(process.execPath, [COMMAND, ...args], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      detached: true,
      env: { ...process.env, ...env },
    });
    const { stdout, stderr } = this.#process;
    if (stdout !== null) createInterface(stdout).on('line', (line) => this.#take(line));
    if (stderr !== null) createInterface(stderr).on('line', (line) => this.#stderr.push(line));
    this.#exited = new Promise((resolve) => {
      this.#process.once('error', (error) => {
        this.#fail(`could not be started: ${error.message}`);
        resolve();
      });
      this.#process.once('close', (code, signal) => {
        this.#fail(`ended (${signal ?? `exit code ${code ?? 'unknown'}`})`);
        resolve();
      });
    });
  }

  /** The first event of this name; rejects with what the process said if it ends before. */
  event(name: string, signal: AbortSignal): Promise<ChildEvent> {
    const known = this.#events.get(name);
    if (known !== undefined) return Promise.resolve(known);
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      const finish =
        <T>(settle: (value: T) => void) =>
        (value: T): void => {
          signal.removeEventListener('abort', onAbort);
          settle(value);
        };
      this.#waiters.set(name, { resolve: finish(resolve), reject: finish(reject) });
    });
  }

  /** Ends the process; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), GRACE_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  /** Ends the process at once, without waiting: for when we ourselves must end. */
  kill(): void {
    this.#process.kill('SIGKILL');
  }

  #take(line: string): void {
    let event: ChildEvent;
    try {
      event = JSON.parse(line) as ChildEvent;
    } catch {
      this.#stderr.push(line);
      return;
    }
    this.#events.set(event.event, event);
    this.#waiters.get(event.event)?.resolve(event);
    this.#waiters.delete(event.event);
  }

  #fail(what: string): void {
    const said = this.#stderr.slice(-KEPT_LINES).join('\n  ');
    this.#failure ??= new CalyxError(
      'unavailable',
      `${this.name} ${what}${said === '' ? '' : `:\n  ${said}`}`,
    );
    for (const waiter of this.#waiters.values()) waiter.reject(this.#failure);
    this.#waiters.clear();
  }
}
