import { join } from 'node:path';
import { calyx, type Running } from '../cli.js';
import { ROOT } from '../directories.js';
import type { Guest, JobEnded } from './guest.js';
import { startNode } from './mounted-node.js';
import { HOST_ADDRESS } from './network.js';

const ENTRY = join(ROOT, 'bin/calyx.mjs');
const PORT = 7070;
/** Node.js loads its own modules from the host, slowly while others use the machine. */
const COMMAND_TIMEOUT_MS = 120_000;

/** Makes a store listen, secured as it is by default, where guests reach it: what {@link makeToken}'s lines lead to. */
export const SECURED_ARGS: readonly string[] = ['--listen', `${HOST_ADDRESS}:${String(PORT)}`];

/** A token that was made on a store. */
export interface MadeToken {
  readonly id: string;
  /** The one line that is pasted on another machine. */
  readonly line: string;
}

/** Runs `calyx token create` on a store's data directory. */
export async function makeToken(data: string, ...options: readonly string[]): Promise<MadeToken> {
  const { code, stdout, stderr } = await calyx('token', 'create', '--data', data, ...options);
  const id = /^token ([0-9a-f]+) /m.exec(stderr)?.[1];
  if (code !== 0 || id === undefined) throw new Error(`calyx token create: ${stdout}${stderr}`);
  return { id, line: stdout.trimEnd() };
}

/** A user of a guest that has Calyx, with a home of its own, where nothing was joined. */
export class GuestUser {
  readonly #guest: Guest;

  private constructor(guest: Guest) {
    this.#guest = guest;
  }

  static async create(guest: Guest): Promise<GuestUser> {
    await guest.sh(`mkdir -p ${HOME} && ln -sf ${ENTRY} /usr/local/bin/calyx`);
    return new GuestUser(guest);
  }

  /** Runs what somebody would type. */
  run(line: string): Promise<JobEnded> {
    return this.#guest.run(as(line), { timeoutMs: COMMAND_TIMEOUT_MS });
  }

  /** The same for what must succeed; returns its standard output. */
  sh(line: string): Promise<string> {
    return this.#guest.sh(as(line), { timeoutMs: COMMAND_TIMEOUT_MS });
  }

  /** Starts `calyx node`, as {@link startNode} does, and returns what it says when it listens. */
  async startNode(name: string, options: string): Promise<Record<string, unknown>> {
    const events = await startNode(this.#guest, name, as(`calyx node ${options}`));
    return events.at(-1) ?? {};
  }
}

const HOME = '/var/lib/user';

function as(line: string): string {
  return `export HOME=${HOME}\n${line}`;
}

/**
 * Joins by a line as a user of the host, and gets a certificate.
 *
 * @param directory for what belongs to this user; guests may see it
 * @param run starts the command line where the store can be reached
 * @returns where the certificate is
 */
export async function certificateOnHost(
  { line }: MadeToken,
  directory: string,
  run: (args: readonly string[], env: Readonly<Record<string, string>>) => Running,
): Promise<string> {
  const out = join(directory, 'pki');
  const pasted = /'(.*)'/.exec(line)?.[1] ?? '';
  for (const args of [
    ['join', pasted],
    ['certificate', '--out', out],
  ]) {
    const ended = await run(args, { XDG_CONFIG_HOME: directory }).ended;
    if (ended.code !== 0) throw new Error(`calyx ${args[0] ?? ''}: ${JSON.stringify(ended)}`);
  }
  return out;
}
