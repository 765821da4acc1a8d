import { randomBytes } from 'node:crypto';
import { link, open, rm, type FileHandle } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Client, errors } from 'undici';
import type { Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError, systemCode, type ErrorCode } from '../../core/errors.js';

/** Answers what another process asks the owner of a directory to do. */
export type OwnerHandler = (request: OwnerRequest, signal: AbortSignal) => Promise<unknown>;

/** What is asked of an owner: the name of an operation and its input, plain JSON. */
export interface OwnerRequest {
  readonly operation: string;
  readonly input: unknown;
  /** Shows that whoever asks may; the owner knows what it accepts. */
  readonly token?: string | undefined;
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

/** What one asks an owner is short. */
export const MAX_REQUEST_BYTES = 64 * 1024;

export const SOCKET = '.sock';
/** A socket that does not listen yet has this after its name. */
export const UNBORN = '.new';

/** A socket in a directory by which this process shows that it owns it or wants to. */
export interface OwnSocket extends Ownership {
  readonly name: string;
  /** From now on it is the owner's, no longer a contender's. */
  settle(): void;
}

/** Binds a socket of this process. Undefined if it was taken for a dead one before it could be shown; then it is to be tried again. */
export async function bindSocket(
  directory: string,
  options: OwnershipOptions,
): Promise<OwnSocket | undefined> {
  const name = `${process.pid}-${randomBytes(8).toString('hex')}${SOCKET}`;
  const handle = await open(directory, 'r');
  let contending = true;
  const server = createServer((request, response) => {
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    void respond(request, options, contending, gone.signal).then(({ status, body }) => {
      response.writeHead(status, { 'content-type': 'application/json', connection: 'close' });
      response.end(JSON.stringify(body));
    });
  });
  try {
    // Bound under a hidden name and shown only when it listens: a bound socket that does not listen yet would look dead.
    const hidden = name + UNBORN;
    await listen(server, socketPath(handle, directory, hidden));
    await link(join(directory, hidden), join(directory, name));
    await rm(join(directory, hidden), { force: true });
  } catch (error) {
    server.close();
    await handle.close();
    if (systemCode(error) === 'ENOENT') return undefined;
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

/** True unless the process that bound this socket is dead. */
export async function answers(directory: string, name: string): Promise<boolean> {
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

async function respond(
  request: IncomingMessage,
  options: OwnershipOptions,
  contending: boolean,
  signal: AbortSignal,
): Promise<{ status: number; body: unknown }> {
  try {
    const asked = JSON.parse(await readBody(request)) as OwnerRequest;
    if (asked.operation === 'describe')
      return { status: 200, body: { description: options.description, contending } };
    if (contending || options.handler === undefined) {
      throw new CalyxError('busy', `the directory is in use by ${options.description}`, {
        hint: 'try again when it has ended',
      });
    }
    return { status: 200, body: (await options.handler(asked, signal)) ?? null };
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

/**
 * Asks the process behind a socket.
 *
 * @throws CalyxError what it answered, `unavailable` if it went away, `timeout`
 */
export async function call(
  directory: string,
  name: string,
  request: OwnerRequest,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<unknown> {
  const handle = await open(directory, 'r');
  const client = new Client('http://owner', {
    socketPath: socketPath(handle, directory, name),
    connectTimeout: timeoutMs,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  });
  let answer: { status: number; body: unknown };
  try {
    const { statusCode, body } = await client.request({
      method: 'POST',
      path: '/',
      body: JSON.stringify(request),
      signal: signal ?? null,
    });
    answer = { status: statusCode, body: await body.json() };
  } catch (error) {
    signal?.throwIfAborted();
    const stalled = error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError;
    throw new CalyxError(
      stalled ? 'timeout' : 'unavailable',
      `the owner of ${directory} ${stalled ? `did not answer within ${timeoutMs / 1000} s` : 'went away'}`,
      { hint: 'run the command again', cause: error },
    );
  } finally {
    await client.destroy();
    await handle.close();
  }
  if (answer.status === 200) return answer.body;
  const { code, message, hint } = answer.body as { code: ErrorCode; message: string; hint?: string };
  throw new CalyxError(code, message, hint === undefined ? {} : { hint });
}
