import { randomBytes } from 'node:crypto';
import { link, mkdir, open, readdir, rm, unlink, type FileHandle } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client } from 'undici';
import { systemClock, type Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError, systemCode, type ErrorCode } from '../../core/errors.js';

/** Answers what another process asks the owner of a directory to do. */
export type OwnerHandler = (request: OwnerRequest, signal: AbortSignal) => Promise<unknown>;

/** What is asked of an owner: the name of an operation and its input, plain JSON. */
export interface OwnerRequest {
  readonly operation: string;
  readonly input: unknown;
}

/** Options of {@link acquireOwnership}. */
export interface OwnershipOptions {
  /** Shown to others that find the directory owned, e.g. `calyx store (process 4711)`. */
  readonly description: string;
  /** Without one, every request is answered with `busy`. */
  readonly handler?: OwnerHandler;
  readonly clock?: Clock;
}

/** Proof that this process owns a directory, until it is released or the process dies. */
export interface Ownership {
  release(): Promise<void>;
}

const MAX_REQUEST_BYTES = 64 * 1024;
const ANSWER_TIMEOUT_MS = 10 * 60_000;
const ATTEMPTS = 20;

/**
 * Becomes the one owner of a directory.
 *
 * Every contender binds a socket of its own, with a name never used before, in `directory`, and only then looks for others
 * that answer. Because each shows itself before it looks, of two contenders at least one sees the other and withdraws. A
 * socket that refuses connections belonged to a dead process and stays dead, so removing it is safe.
 *
 * @throws CalyxError `busy` naming the owner if there is one
 */
export async function acquireOwnership(directory: string, options: OwnershipOptions): Promise<Ownership> {
  const clock = options.clock ?? systemClock;
  await mkdir(directory, { recursive: true });
  for (let attempt = 1; ; attempt += 1) {
    const own = await bindSocket(directory, options);
    const others = await liveSockets(directory, own.name);
    const [other] = others;
    if (other === undefined) {
      own.settle();
      return own;
    }
    await own.release();
    const owner = await describeOwner(directory, other);
    // Two that contend at the same time both withdraw and try again after pauses of different lengths.
    if (owner !== undefined && !owner.contending) {
      throw new CalyxError('busy', `${directory} is in use by ${owner.description}`, {
        hint: 'stop that process, or use another directory',
      });
    }
    if (attempt >= ATTEMPTS)
      throw new CalyxError('busy', `${directory} is in use by other processes`, { hint: 'try again' });
    await clock.sleep(5 + Math.random() * 10 * attempt);
  }
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
): Promise<{ readonly output: unknown } | undefined> {
  const [owner] = await liveSockets(directory);
  if (owner === undefined) return undefined;
  return { output: await call(directory, owner, request) };
}

interface OwnSocket extends Ownership {
  readonly name: string;
  /** From now on it is the owner's, no longer a contender's. */
  settle(): void;
}

async function bindSocket(directory: string, options: OwnershipOptions): Promise<OwnSocket> {
  const name = `${process.pid}-${randomBytes(8).toString('hex')}.sock`;
  const handle = await open(directory, 'r');
  let contending = true;
  const server = createServer((request, response) => {
    void respond(request, options, contending).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    });
  });
  try {
    // Bound under a hidden name and shown only when it listens: a bound socket that does not listen yet would look dead.
    const hidden = `${name}.new`;
    await listen(server, socketPath(handle, directory, hidden));
    await link(join(directory, hidden), join(directory, name));
    await unlink(join(directory, hidden));
  } catch (error) {
    server.close();
    await handle.close();
    throw error;
  }
  return {
    name,
    settle: () => {
      contending = false;
    },
    release: async () => {
      await rm(join(directory, name), { force: true });
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
      await handle.close().catch(() => undefined);
    },
  };
}

/** A socket's path may have 107 bytes; through the open directory it is always short enough. */
function socketPath(handle: FileHandle, directory: string, name: string): string {
  const plain = join(directory, name);
  return Buffer.byteLength(plain) <= 100 ? plain : `/proc/self/fd/${handle.fd}/${name}`;
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ path }, () => resolve());
  });
}

async function liveSockets(directory: string, except?: string): Promise<string[]> {
  const names = await readdir(directory).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  });
  const live: string[] = [];
  for (const name of names) {
    if (!name.endsWith('.sock') || name === except) continue;
    if (await answers(directory, name)) live.push(name);
    else await rm(join(directory, name), { force: true });
  }
  return live;
}

async function answers(directory: string, name: string): Promise<boolean> {
  const handle = await open(directory, 'r');
  try {
    return await new Promise((resolve) => {
      const socket = connect({ path: socketPath(handle, directory, name) });
      socket.once('connect', () => {
        socket.destroy();
        resolve(true);
      });
      socket.once('error', (error) => {
        // Anything but a plain refusal may be a live owner that is out of descriptors or not ours to reach.
        resolve(!['ECONNREFUSED', 'ENOENT'].includes(systemCode(error) ?? ''));
      });
    });
  } finally {
    await handle.close();
  }
}

async function describeOwner(
  directory: string,
  name: string,
): Promise<{ description: string; contending: boolean } | undefined> {
  try {
    const about = await call(directory, name, { operation: 'describe', input: null });
    return about as { description: string; contending: boolean };
  } catch (error) {
    if (isCalyxError(error, 'unavailable')) return undefined;
    throw error;
  }
}

async function respond(
  request: IncomingMessage,
  options: OwnershipOptions,
  contending: boolean,
): Promise<{ status: number; body: unknown }> {
  const controller = new AbortController();
  request.once('close', () => {
    if (!request.complete) controller.abort();
  });
  try {
    const asked = JSON.parse(await readBody(request)) as OwnerRequest;
    if (asked.operation === 'describe')
      return { status: 200, body: { description: options.description, contending } };
    if (options.handler === undefined) {
      throw new CalyxError('busy', `the directory is in use by ${options.description}`, {
        hint: 'try again when it has ended',
      });
    }
    return { status: 200, body: (await options.handler(asked, controller.signal)) ?? null };
  } catch (error) {
    const known = isCalyxError(error) ? error : new CalyxError('internal', errorMessage(error));
    return { status: 500, body: { code: known.code, message: known.message, hint: known.hint } };
  }
}

async function readBody(request: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    size += piece.byteLength;
    if (size > MAX_REQUEST_BYTES) throw new CalyxError('usage', 'the request is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}

async function call(directory: string, name: string, request: OwnerRequest): Promise<unknown> {
  const handle = await open(directory, 'r');
  const client = new Client('http://owner', {
    socketPath: socketPath(handle, directory, name),
    headersTimeout: ANSWER_TIMEOUT_MS,
    bodyTimeout: ANSWER_TIMEOUT_MS,
  });
  try {
    const answer = await client
      .request({ method: 'POST', path: '/', body: JSON.stringify(request) })
      .catch((error: unknown) => {
        throw new CalyxError('unavailable', `the owner of ${directory} went away`, {
          hint: 'run the command again',
          cause: error,
        });
      });
    const body = await answer.body.json();
    if (answer.statusCode === 200) return body;
    const { code, message, hint } = body as { code: ErrorCode; message: string; hint?: string };
    throw new CalyxError(code, message, hint === undefined ? {} : { hint });
  } finally {
    await client.destroy();
    await handle.close();
  }
}
