import { createServer as createHttp, type RequestListener, type Server } from 'node:http';
import { createServer as createHttps, Server as HttpsServer } from 'node:https';
import { createServer } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { TlsSettings } from '../../core/access.js';
import type { Door, Doorkeeper } from '../../core/doorkeeper.js';
import { CalyxError } from '../../core/errors.js';
import { admitRequests, setRefusalHeaders } from './admission.js';
import { answerOf, isFailure } from './answer-of.js';
import { FailureLog } from './failure-log.js';
import { FrontDoor } from './front-door.js';
import { checkOrigin } from './guard.js';
import { RequestsUnderWay } from './requests-under-way.js';
import type { StrangerPlacesOptions } from './stranger-places.js';
import { tlsOptions } from './tls-settings.js';

/** Options of {@link createHttpServer}. */
export interface HttpServerOptions {
  readonly logger: Logger;
  /** Names, besides addresses and `localhost`, under which requests are answered. @default [] */
  readonly hostNames?: readonly string[];
  /** Open connections; with `requireToken` those that have shown a token, otherwise more are closed at once. @default 1024 */
  readonly maxConnections?: number;
  /** Speaks TLS. @default plain HTTP */
  readonly tls?: TlsSettings | undefined;
  /** Lets clients show a certificate of the cluster; nobody must. @default false */
  readonly requestCertificates?: boolean;
  /** Whom to ask who somebody is. @default nobody: whoever reaches the listener is ANYBODY */
  readonly doorkeeper?: Doorkeeper | undefined;
  /** How the doorkeeper's log calls the listener. @default 'http' */
  readonly door?: Door;
  /** Answers only who shows a token or certificate that counts; needs a doorkeeper. @default false */
  readonly requireToken?: boolean;
  /** Places for connections that have not shown a token yet, where one is required. */
  readonly strangers?: StrangerPlacesOptions;
}

/** A client has this long to send a request's header, and may stay idle this long between two. */
export const HEADERS_TIMEOUT_MS = 10_000;
export const KEEP_ALIVE_MS = 60_000;
/** How often clients that take longer are looked for. */
const CHECK_MS = 2_000;
/** The longest that a request's body may take to come in. */
export const REQUEST_TIMEOUT_MS = 120_000;
export const BODY_BYTES = 64 * 1024;
export const MAX_CONNECTIONS = 1024;

/**
 * An HTTP server that checks `Host` and `Origin`, asks the doorkeeper who makes each request, bounds what clients can take of it,
 * and answers errors as JSON. It has no routes; rooms bring theirs as fastify plugins, say in `config.access` who may use them (by
 * default admins only), find who asks in `request.grant`, and throw {@link CalyxError}.
 */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const { doorkeeper, tls, requireToken = false, maxConnections = MAX_CONNECTIONS } = options;
  if (requireToken && doorkeeper === undefined)
    throw new CalyxError('internal', 'a server that requires tokens needs a doorkeeper');
  const guard = (request: FastifyRequest): void => {
    const { host, origin } = request.headers;
    const fetchSite = request.headers['sec-fetch-site'];
    checkOrigin(
      {
        host,
        origin,
        fetchSite: typeof fetchSite === 'string' ? fetchSite : undefined,
        tls: tls !== undefined,
      },
      options.hostNames,
    );
  };
  const makeServer = (handler: RequestListener): Server => {
    const timeouts = {
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: CHECK_MS,
    };
    if (tls === undefined) return createHttp(timeouts, handler);
    const requestCertificates = options.requestCertificates === true;
    const secure = createHttps({ ...timeouts, ...tlsOptions(tls, requestCertificates) }, handler);
    requesting.set(secure, requestCertificates);
    return secure;
  };
  const failures = new FailureLog(options.logger);
  const answerError = (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply => {
    const answer = answerOf(error, request);
    const { status, body, reference } = answer;
    const { method, url } = request;
    if (isFailure(answer)) failures.tell({ error, reference, method, url });
    return reply.status(status).send(body);
  };
  const server: FastifyInstance = fastify({
    // What the router refuses reaches neither hooks nor error handlers.
    frameworkErrors: (refusal, request, plainReply) => {
      const reply = plainReply as unknown as FastifyReply;
      let error: unknown = refusal;
      try {
        admission.admit(request, reply);
      } catch (problem) {
        error = problem;
      }
      admission.tell(request);
      void answerError(error, request, reply);
    },
    bodyLimit: BODY_BYTES,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 512 },
    // Otherwise fastify would listen to `localhost` with a second server, without what is set up here.
    serverFactory: (handler) => makeServer(handler),
  });
  const underWay = new RequestsUnderWay(server.server);
  const frontDoor = requireToken
    ? new FrontDoor(server.server, {
        tls: tls !== undefined,
        maxConnections,
        isIdle: (socket) => underWay.of(socket) === 0,
        strangers: options.strangers,
      })
    : undefined;
  if (frontDoor === undefined) server.server.maxConnections = maxConnections;
  else
    server.addHook('preClose', (done) => {
      frontDoor.close();
      done();
    });
  const admission = admitRequests(server, {
    doorkeeper,
    door: options.door ?? 'http',
    requireToken,
    frontDoor,
    guard,
  });
  server.setErrorHandler((error, request, reply) => {
    // Routes refuse too.
    setRefusalHeaders(reply, error);
    return answerError(error, request, reply);
  });
  server.setNotFoundHandler((request) => {
    throw new CalyxError('not-found', `there is nothing at ${request.method} ${request.url.slice(0, 200)}`);
  });
  return server;
}

/** Whether servers ask clients for certificates. */
const requesting = new WeakMap<Server, boolean>();

/** Connections that a server of TLS gets from now on see this key and certificate. Throws CalyxError `internal` for plain HTTP. */
export function replaceCertificate({ server }: FastifyInstance, tls: TlsSettings): void {
  if (!(server instanceof HttpsServer))
    throw new CalyxError('internal', 'a server of plain HTTP has no certificate');
  server.setSecureContext(tlsOptions(tls, requesting.get(server) === true));
}

/**
 * Starts a server.
 *
 * @returns its URL, with the port that was chosen if `port` is 0
 * @throws CalyxError `busy` if the port is taken, `usage` if the address is not of this machine
 */
export async function listen(server: FastifyInstance, { host, port }: ListenAddress): Promise<string> {
  try {
    const url = await server.listen({
      host,
      port,
      listenTextResolver: (address) => `listening on ${address}`,
    });
    // fastify does not know what its factory makes.
    return server.server instanceof HttpsServer ? url.replace(/^http:/, 'https:') : url;
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
