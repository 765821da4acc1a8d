import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock, type Clock } from '../../core/clock.js';
import { CalyxError, isCalyxError, systemCode } from '../../core/errors.js';
import { makeDirectories } from './make-directories.js';
import {
  MAX_REQUEST_BYTES,
  SOCKET,
  UNBORN,
  answers,
  bindSocket,
  call,
  type OwnSocket,
  type Ownership,
  type OwnerRequest,
  type OwnershipOptions,
} from './owner-socket.js';

export type { OwnerHandler, OwnerRequest, Ownership, OwnershipOptions } from './owner-socket.js';

const ANSWER_TIMEOUT_MS = 10 * 60_000;
/** An owner says who it is at once, or it hangs. */
const DESCRIBE_TIMEOUT_MS = 5_000;
const ATTEMPTS = 20;

/**
 * Becomes the one owner of a directory.
 *
 * Every contender binds a socket of its own, with a name never used before, in `directory`, and only then looks for others
 * that answer. It is the owner once it has seen none: because each shows itself before it looks, of two contenders at least
 * one sees the other. Of several, the one with the first name stays until the others have withdrawn. A socket that refuses
 * connections belonged to a dead process and stays dead, so removing it is safe.
 *
 * @throws CalyxError `busy` naming the owner if there is one
 */
export async function acquireOwnership(directory: string, options: OwnershipOptions): Promise<Ownership> {
  const clock = options.clock ?? systemClock;
  await makeDirectories(directory);
  let own: OwnSocket | undefined;
  try {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
      const others = await lookAround(directory, { except: own?.name });
      const owner = others.find(({ contending }) => !contending);
      if (owner !== undefined) {
        throw new CalyxError('busy', `${directory} is in use by ${owner.description}`, {
          hint: 'stop that process, or use another directory',
        });
      }
      const mayBind = others.length === 0;
      if (own !== undefined && mayBind) {
        own.settle();
        await removeUnborn(directory);
        return own;
      }
      if (own === undefined && mayBind) {
        own = await bindSocket(directory, options);
        continue;
      }
      const name = own?.name;
      if (name !== undefined && others.some((other) => other.name < name)) {
        await own?.release();
        own = undefined;
      }
      await clock.sleep(5 + Math.random() * 10 * attempt);
    }
    throw new CalyxError('busy', `${directory} is wanted by several processes at once`, {
      hint: 'try again',
    });
  } catch (error) {
    await own?.release();
    throw error;
  }
}

/** Options of {@link askOwner}. */
export interface AskOptions {
  readonly signal?: AbortSignal;
  readonly clock?: Clock;
  /** Leaves sockets of dead processes where they are: for who only looks. @default false */
  readonly leaveDead?: boolean;
}

/**
 * Asks the owner of a directory to do something.
 *
 * @returns its answer, or undefined if nobody owns the directory
 * @throws CalyxError what the owner answered, or `unavailable` if it died meanwhile
 */
export async function askOwner(
  directory: string,
  request: OwnerRequest,
  { signal, clock = systemClock, leaveDead = false }: AskOptions = {},
): Promise<{ readonly output: unknown } | undefined> {
  if (Buffer.byteLength(JSON.stringify(request)) > MAX_REQUEST_BYTES)
    throw new CalyxError('usage', `the request '${request.operation}' is too long`);
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const others = await lookAround(directory, { leaveDead, signal });
    if (others.length === 0) return undefined;
    const owner = others.find(({ contending }) => !contending);
    if (owner?.silent === true)
      throw new CalyxError('timeout', `${directory} is in use by ${owner.description}`);
    if (owner !== undefined)
      return { output: await call(directory, owner.name, request, ANSWER_TIMEOUT_MS, signal) };
    await clock.sleep(5 + Math.random() * 10 * attempt, signal);
  }
  throw new CalyxError('busy', `${directory} is wanted by several processes at once`, { hint: 'try again' });
}

interface Other {
  readonly name: string;
  readonly description: string;
  /** True if it does not own the directory yet. */
  readonly contending: boolean;
  /** True if it is alive but did not answer in time. */
  readonly silent?: boolean;
}

/** The live processes that own the directory or want to. */
async function lookAround(
  directory: string,
  {
    except,
    leaveDead = false,
    signal,
  }: { except?: string | undefined; leaveDead?: boolean; signal?: AbortSignal | undefined } = {},
): Promise<Other[]> {
  const others: Other[] = [];
  for (const name of await socketNames(directory, SOCKET)) {
    if (name === except) continue;
    if (await answers(directory, name)) others.push(...(await describe(directory, name, signal)));
    else if (!leaveDead) await rm(join(directory, name), { force: true });
  }
  return others;
}

/** Removes sockets of processes that died before they could show them. */
async function removeUnborn(directory: string): Promise<void> {
  for (const name of await socketNames(directory, SOCKET + UNBORN))
    if (!(await answers(directory, name))) await rm(join(directory, name), { force: true });
}

async function socketNames(directory: string, suffix: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  });
  return names.filter((name) => name.endsWith(suffix));
}

/** What a process says of itself; nothing if it has just gone. */
async function describe(directory: string, name: string, signal?: AbortSignal): Promise<Other[]> {
  try {
    const request = { operation: 'describe', input: null };
    const about = await call(directory, name, request, DESCRIBE_TIMEOUT_MS, signal);
    const { description, contending } = about as { description: string; contending: boolean };
    return [{ name, description, contending }];
  } catch (error) {
    if (isCalyxError(error, 'unavailable')) return [];
    if (!isCalyxError(error, 'timeout')) throw error;
    const pid = /^\d+/.exec(name)?.[0] ?? '';
    return [{ name, description: `process ${pid}, which does not answer`, contending: false, silent: true }];
  }
}
