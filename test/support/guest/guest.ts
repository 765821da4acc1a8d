import { mkdtempSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Running } from '../cli.js';
import { boot } from './boot.js';
import type { GuestNetwork } from './network.js';
import type { GuestKernel } from './packages.js';

/** A guest is up in 2 s on a quiet machine. Both are shorter than the time that tests have, so that what happened is told. */
const BOOT_TIMEOUT_MS = 45_000;
const JOB_TIMEOUT_MS = 45_000;
/** What holds a script of an unresponsive guest up is told without its last words. */
const JOB_KILL_TIMEOUT_MS = 5000;
/** More of the console than a kernel's dying words. */
const CONSOLE_TAIL = 4000;

/** How a guest is made. */
export interface GuestOptions {
  /** Its memory, of which the host gives what the guest uses. @default 1024 */
  readonly memoryMib?: number;
  /** @default that of `CALYX_GUEST_KERNEL`, else the one that the host's Debian has */
  readonly kernel?: GuestKernel;
}

/** How a script is run. */
export interface JobOptions {
  /** @default 45000 */
  readonly timeoutMs?: number;
}

/** How a script ended, and what it said. */
export interface JobEnded {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Something that the guest will say on its console. */
interface Expected {
  readonly resolve: (code: number) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A Linux machine of its own, with the kernel's NFS client: User-Mode Linux, one processor. It sees the files of the host, and
 * what it writes stays in its memory, except in `directory`.
 */
export class Guest {
  /** Its address in the network. */
  readonly address: string;
  /** A directory that the guest and the host share, under the same path; removed when the guest is killed. */
  readonly directory: string;
  readonly #running: Running;
  readonly #expected = new Map<string, Expected>();
  #console = '';
  #line = '';
  #jobs = 0;
  #ended = false;

  private constructor(network: GuestNetwork, { memoryMib = 1024, kernel }: GuestOptions) {
    const port = network.take();
    this.address = port.address;
    this.directory = mkdtempSync(join(network.directory, `${port.tap}-`));
    this.#running = boot({ network, port, directory: this.directory, memoryMib, kernel });
    this.#running.child.stdout?.on('data', (text: string) => this.#onConsole(text));
    this.#running.child.stderr?.on('data', (text: string) => this.#onConsole(text));
    // A guest that has ended does not read on; that it ended is told below.
    this.#running.child.stdin?.on('error', () => undefined);
    const onEnd = (): void => {
      this.#ended = true;
      network.release(port);
      for (const { reject } of this.#expected.values()) reject(this.#error('it ended'));
      rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
    };
    this.#running.ended.then(onEnd, onEnd);
  }

  /** Boots a guest and waits until it is up. */
  static async start(network: GuestNetwork, options: GuestOptions): Promise<Guest> {
    const guest = new Guest(network, options);
    try {
      await guest.#expect('ready', BOOT_TIMEOUT_MS);
    } catch (error) {
      await guest.kill();
      throw error;
    }
    return guest;
  }

  /**
   * Runs a script with `bash -e` in the guest, as root; several may run at a time. Its working directory is `/`.
   * @throws Error with what the script and the kernel said, if it takes longer than `timeoutMs` or the guest ends
   */
  async run(script: string, { timeoutMs = JOB_TIMEOUT_MS }: JobOptions = {}): Promise<JobEnded> {
    // A new name for each: a guest keeps in its memory what it has read from the host.
    const id = `job${String((this.#jobs += 1))}`;
    if (!this.#ended) await writeFile(join(this.directory, `${id}.sh`), script);
    const ended = this.#expect(id, timeoutMs);
    this.#tell(`run ${id}`);
    try {
      const code = await ended;
      return { code, ...(await this.#output(id)) };
    } catch (error) {
      await this.#killJob(id);
      const { stdout, stderr } = await this.#output(id);
      const said = `${stdout.slice(-CONSOLE_TAIL)}\n${stderr.slice(-CONSOLE_TAIL)}`;
      throw new Error(`${(error as Error).message}\nthe script: ${script}\nit said: ${said}`, {
        cause: error,
      });
    }
  }

  /**
   * Runs a script that must succeed, and returns its standard output.
   * @throws Error as `run` does, and if the script ends with another code than 0
   */
  async sh(script: string, options: JobOptions = {}): Promise<string> {
    const ended = await this.run(script, options);
    if (ended.code !== 0)
      throw new Error(`guest ${this.address}: ${JSON.stringify(ended)} of the script: ${script}`);
    return ended.stdout;
  }

  /** What the kernel said. */
  get console(): string {
    return this.#console;
  }

  /** Ends the guest as if its power were cut, and removes its directory. */
  async kill(): Promise<void> {
    this.#running.child.kill('SIGKILL');
    await this.#running.ended.catch(() => undefined);
  }

  async #expect(what: string, timeoutMs: number): Promise<number> {
    if (this.#ended) throw this.#error('it has ended');
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#expected.set(what, { resolve, reject });
        timer = setTimeout(() => reject(this.#error(`not ${what} after ${String(timeoutMs)} ms`)), timeoutMs);
      });
    } finally {
      clearTimeout(timer);
      this.#expected.delete(what);
    }
  }

  /** Ends a script, and waits until what it said has come to the host, which is when its end is told. */
  async #killJob(id: string): Promise<void> {
    if (this.#ended) return;
    const told = this.#expect(id, JOB_KILL_TIMEOUT_MS);
    this.#tell(`kill ${id}`);
    await told.catch(() => undefined);
  }

  #onConsole(text: string): void {
    const lines = (this.#line + text).split('\n');
    this.#line = lines.pop() ?? '';
    for (const line of lines) {
      const [, what = '', code] = /^calyx-guest: (\w+) (\d+)\s*$/.exec(line) ?? [];
      if (code === undefined) this.#console += `${line}\n`;
      else this.#expected.get(what)?.resolve(Number(code));
    }
  }

  async #output(id: string): Promise<{ stdout: string; stderr: string }> {
    // There is none if the script was not started.
    const read = (name: string): Promise<string> =>
      readFile(join(this.directory, name), 'utf8').catch(() => '');
    return { stdout: await read(`${id}.out`), stderr: await read(`${id}.err`) };
  }

  #tell(line: string): void {
    if (!this.#ended) this.#running.child.stdin?.write(`${line}\n`);
  }

  #error(what: string): Error {
    return new Error(`guest ${this.address}: ${what}; its console:\n${this.#console.slice(-CONSOLE_TAIL)}`);
  }
}

/** Boots a guest on a free port of the network and waits until it is up: 2 s. It ends with the network at the latest. */
export function startGuest(network: GuestNetwork, options: GuestOptions = {}): Promise<Guest> {
  return Guest.start(network, options);
}
