import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { CalyxError } from '../../core/errors.js';
import { toWireError } from './errors.js';
import { checkOrigin } from './guard.js';

/** Options of {@link createHttpServer}. */
export interface HttpServerOptions {
  readonly logger: Logger;
  /** Names, besides addresses and `localhost`, under which requests are answered. @default [] */
  readonly hostNames?: readonly string[];
  /** Open connections; more are closed at once. @default 1024 */
  readonly maxConnections?: number;
}

/** A client has this long to send a request's header, and may stay idle this long between two. */
const HEADERS_TIMEOUT_MS = 10_000;
const KEEP_ALIVE_MS = 60_000;
/** How often clients that take longer are looked for. */
const CHECK_MS = 2_000;
/** The longest that a request's body may take to come in. */
const REQUEST_TIMEOUT_MS = 120_000;
const BODY_BYTES = 64 * 1024;

/**
 * An HTTP server that checks `Host` and `Origin`, bounds what clients can take of it, and answers errors as JSON. It has no routes;
 * rooms bring theirs as fastify plugins and throw {@link CalyxError}.
 */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const guard = (request: FastifyRequest): void => {
    const { host, origin } = request.headers;
    const fetchSite = request.headers['sec-fetch-site'];
    checkOrigin(
      { host, origin, fetchSite: typeof fetchSite === 'string' ? fetchSite : undefined },
      options.hostNames,
    );
  };
  const server = fastify({
    // What the router refuses reaches neither hooks nor error handlers.
    frameworkErrors: (refusal, request, reply) => {
      let error: unknown = refusal;
      try {
        guard(request);
      } catch (problem) {
        error = problem;
      }
      const { status, body } = toWireError(error);
      void (reply as unknown as FastifyReply).status(status).send(body);
    },
    bodyLimit: BODY_BYTES,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 512 },
    http: { headersTimeout: HEADERS_TIMEOUT_MS, connectionsCheckingInterval: CHECK_MS },
  });
  server.server.maxConnections = options.maxConnections ?? 1024;
  boundPipelining(server.server);
  server.addHook('onRequest', (request, _reply, done) => {
    guard(request);
    done();
  });
  server.setErrorHandler((error, request, reply) => {
    const { status, body } = toWireError(error);
    if (status >= 500)
      options.logger.error({ err: error, method: request.method, url: request.url }, 'request failed');
    return reply.status(status).send(body);
  });
  server.setNotFoundHandler((request) => {
    throw new CalyxError('not-found', `there is nothing at ${request.method} ${request.url.slice(0, 200)}`);
  });
  return server;
}

/** Requests of one connection that wait for their answers; real clients send one at a time. */
const MAX_OUTSTANDING = 32;

/** Node takes in as many requests of a connection as fit, though it answers one after the other; who sends too many is cut off. */
function boundPipelining(server: Server): void {
  const outstanding = new WeakMap<Socket, number>();
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    const count = (outstanding.get(socket) ?? 0) + 1;
    outstanding.set(socket, count);
    response.once('close', () => outstanding.set(socket, (outstanding.get(socket) ?? 1) - 1));
    if (count > MAX_OUTSTANDING) socket.destroy();
  });
}

/**
 * Starts a server.
 *
 * @returns its URL, with the port that was chosen if `port` is 0
 * @throws CalyxError `busy` if the port is taken, `usage` if the address is not of this machine
 */
export async function listen(server: FastifyInstance, { host, port }: ListenAddress): Promise<string> {
  try {
    return await server.listen({ host, port, listenTextResolver: (address) => `listening on ${address}` });
  } catch (error) {
    throw listenError(error, { host, port });
  }
}

/**
 * Looks whether an address is free, for who has much to do before it listens; throws as {@link listen} does.
 */
export async function checkFree(address: ListenAddress): Promise<void> {
  const probe = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      probe.once('error', reject);
      probe.listen(address.port, address.host, () => resolve());
    });
  } catch (error) {
    throw listenError(error, address);
  } finally {
    probe.close();
  }
}

function listenError(error: unknown, { host, port }: ListenAddress): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'EADDRINUSE') {
    return new CalyxError('busy', `the port ${port} of ${host} is in use`, {
      hint: 'choose another with --listen HOST:PORT (port 0 takes a free one)',
      cause: error,
    });
  }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EACCES') {
    return new CalyxError('usage', `cannot listen on ${host}:${port} (${code})`, {
      hint: 'give an address of this machine and a port above 1023',
      cause: error,
    });
  }
  return error;
}

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** Reads `HOST:PORT`, `[IPV6]:PORT` or `:PORT`; throws CalyxError `usage`. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    throw new CalyxError('usage', `'${text}' is not an address to listen on`, {
      hint: 'write HOST:PORT, for example 127.0.0.1:7070',
    });
  }
  return { host: match[1] ?? (match[2] === '' || match[2] === undefined ? '127.0.0.1' : match[2]), port };
}
