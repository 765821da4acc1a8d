import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ANYBODY, hasRole, type Access, type Grant } from '../../core/access.js';
import type { Door, Doorkeeper } from '../../core/doorkeeper.js';
import { CalyxError, isCalyxError, type ErrorCode } from '../../core/errors.js';
import { holderOf, namingHolder } from '../../core/holder-refused.js';
import { formatModelName, parseModelName } from '../../core/names.js';
import { plainAddress } from '../../core/network-address.js';
import { showsAll } from '../../core/shown-models.js';
import { cutConnection, type FrontDoor } from './front-door.js';
import { TokenConnections } from './token-connections.js';

/** Options of {@link admitRequests}. */
export interface AdmissionOptions {
  /** Undefined: whoever reaches the listener is {@link ANYBODY}. */
  readonly doorkeeper: Doorkeeper | undefined;
  readonly door: Door;
  /** Who shows nothing gets nothing, except where a route is open. */
  readonly requireToken: boolean;
  /** Undefined on listeners that ask nobody. */
  readonly frontDoor: FrontDoor | undefined;
  /** Refuses requests that pages of other sites have caused. */
  readonly guard: (request: FastifyRequest) => void;
}

/** Decides about requests. */
export interface Admission {
  /** Sets `request.grant`. Throws CalyxError `unauthenticated`, `refused`, `limited` or `busy`; the headers of the reply then fit it. */
  admit(request: FastifyRequest, reply: FastifyReply): void;
  /** What became of a request, if its failure was a refusal. */
  failed(request: FastifyRequest, error: unknown): void;
  /** Tells the doorkeeper of a request that has no route. */
  tell(request: FastifyRequest): void;
}

/** Who uses an open route of a listener that asks for tokens elsewhere: sees no model, for no name matches. */
const NOBODY: Grant = { tokenId: undefined, name: 'nobody', role: 'read', models: '-/-' };

/** Codes with which somebody is turned away. */
const REFUSALS: readonly ErrorCode[] = ['unauthenticated', 'refused', 'limited'];

/** What a `limited` client is asked to wait if the doorkeeper names no time. */
const RETRY_AFTER_SECONDS = 10;
/** Strangers who were wrong too often are told so only after this time, so that a flood of theirs costs them more than us. */
export const PATIENCE_MS = 1_000;

/** What is known of a request while it is answered. */
interface Visit {
  grant: Grant | undefined;
  reason: ErrorCode | undefined;
  told: boolean;
}

/**
 * Hooks that ask who makes each request, and whether that one may use the route. They must be added before any route.
 *
 * A token comes as `Authorization: Bearer TOKEN` (RFC 6750, section 2.1), a certificate with TLS. Where nobody is asked, a token
 * that is shown is checked all the same.
 */
export function admitRequests(server: FastifyInstance, options: AdmissionOptions): Admission {
  const { doorkeeper, door, requireToken, frontDoor, guard } = options;
  const visits = new WeakMap<FastifyRequest, Visit>();
  const connections = new TokenConnections((socket) =>
    frontDoor === undefined ? cutConnection(socket) : frontDoor.cut(socket),
  );

  const whoAsks = (request: FastifyRequest): Grant => {
    const { socket } = request.raw;
    const token = bearerToken(request.headers.authorization);
    const certificate = certificateOf(socket);
    if (doorkeeper === undefined || (!requireToken && token === undefined && certificate === undefined))
      return ANYBODY;
    const grant = doorkeeper.whoIs({ address: plainAddress(socket.remoteAddress), token, certificate });
    if (grant.tokenId !== undefined) connections.use(grant.tokenId, socket);
    namingHolder(grant, () => frontDoor?.recognize(socket, grant));
    return grant;
  };

  const decide = (request: FastifyRequest, visit: Visit): void => {
    guard(request);
    const access = accessOf(request, requireToken);
    if (access === 'open') {
      request.grant = requireToken ? NOBODY : ANYBODY;
      // The state of health is asked for all the time, and tells nothing.
      visit.told = !request.is404;
      return;
    }
    visit.grant = request.grant = whoAsks(request);
    if (hasRole(request.grant, access)) return;
    if (request.grant === ANYBODY)
      throw new CalyxError('unauthenticated', `this needs a token of the role '${access}'`, {
        hint: 'send it as Authorization: Bearer TOKEN',
      });
    const { name, role } = request.grant;
    throw new CalyxError('refused', `the token '${name}' has the role '${role}', this needs '${access}'`, {
      hint: `ask who manages the cluster for one: calyx token create --role ${access}`,
    });
  };

  const tell = (request: FastifyRequest): void => {
    const visit = visits.get(request);
    if (doorkeeper === undefined || visit === undefined || visit.told) return;
    visit.told = true;
    const { grant, reason } = visit;
    doorkeeper.decided({
      door,
      action: `${request.method} ${request.routeOptions.url ?? '(no such route)'}`,
      subject: subjectOf(request),
      address: plainAddress(request.raw.socket.remoteAddress ?? request.ip),
      grant,
      allowed: reason === undefined,
      reason,
    });
  };

  const admit = (request: FastifyRequest, reply: FastifyReply): void => {
    const visit: Visit = { grant: undefined, reason: undefined, told: false };
    visits.set(request, visit);
    try {
      decide(request, visit);
    } catch (error) {
      if (isCalyxError(error)) visit.reason = error.code;
      visit.grant ??= holderOf(error);
      setRefusalHeaders(reply, error);
      // Strangers start anew with each attempt, behind those who wait; nor is the rest of a body read for them.
      if (frontDoor !== undefined && !frontDoor.knows(request.raw.socket))
        void reply.header('connection', 'close');
      throw error;
    }
  };

  const failed = (request: FastifyRequest, error: unknown): void => {
    const visit = visits.get(request);
    if (visit === undefined || visit.reason !== undefined || !isCalyxError(error)) return;
    // What a grant does not show does not exist for it, so for one that does not show all it may have been a refusal.
    const hidden = error.code === 'not-found' && visit.grant !== undefined && !showsAll(visit.grant);
    if (hidden || REFUSALS.includes(error.code)) visit.reason = error.code;
  };

  server.decorateRequest('grant', null as unknown as Grant);
  server.addHook('onRequest', (request, reply, done) => {
    // Also told of answers that are cut off, and of those that go out without fastify.
    if (doorkeeper !== undefined) reply.raw.once('close', () => tell(request));
    try {
      admit(request, reply);
      done();
    } catch (error) {
      const stranger = frontDoor !== undefined && !frontDoor.knows(request.raw.socket);
      if (stranger && isCalyxError(error, 'limited')) answerLater(request, () => done(error));
      else done(error as Error);
    }
  });
  server.addHook('onError', (request, _reply, error, done) => {
    failed(request, error);
    done();
  });
  const unsubscribe = doorkeeper?.onRevoked((tokenId) => connections.end(tokenId));
  server.addHook('onClose', (_server, done) => {
    unsubscribe?.();
    done();
  });
  return { admit, failed, tell };
}

/** A route that does not exist is asked for as one that may be read is, so that strangers do not learn what exists. */
function accessOf(request: FastifyRequest, requireToken: boolean): Access {
  if (request.is404) return requireToken ? 'read' : 'open';
  return request.routeOptions.config.access ?? 'admin';
}

/** The headers that say how to come in, or when: no 401 goes without them (RFC 9110, section 11.6.1), whoever has refused. */
export function setRefusalHeaders(reply: FastifyReply, error: unknown): void {
  if (isCalyxError(error, 'unauthenticated')) void reply.header('www-authenticate', 'Bearer realm="calyx"');
  if (isCalyxError(error, 'busy') && error.retryAfterSeconds !== undefined)
    void reply.header('retry-after', String(error.retryAfterSeconds));
  if (isCalyxError(error, 'limited'))
    void reply.header('retry-after', String(error.retryAfterSeconds ?? RETRY_AFTER_SECONDS));
}

/** Waits a while, unless the client leaves. Strangers have few places, so few wait. */
function answerLater({ raw: { socket } }: FastifyRequest, answer: () => void): void {
  const leave = (): void => clearTimeout(timer);
  const timer = setTimeout(() => {
    socket.off('close', leave);
    answer();
  }, PATIENCE_MS);
  socket.once('close', leave);
}

/** The token of an `Authorization` header; other schemes are not for us. */
function bearerToken(header: string | undefined): string | undefined {
  return /^bearer +(.*)$/i.exec(header ?? '')?.[1]?.trim();
}

/** Certificates of connections, read once. */
const shown = new WeakMap<TLSSocket, { readonly der: Uint8Array; readonly endsAt: number }>();

/** The certificate that a client has shown, unless it is over by now: a connection may outlast it. */
function certificateOf(socket: Socket): Uint8Array | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined;
  let known = shown.get(socket);
  if (known === undefined) {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined) return undefined;
    known = { der: certificate.raw, endsAt: Date.parse(certificate.validTo) };
    shown.set(socket, known);
  }
  return Date.now() < known.endsAt ? known.der : undefined;
}

/** The model that a request names, if it does. */
function subjectOf({ params, query, body, is404 }: FastifyRequest): string | undefined {
  if (is404) return undefined;
  const { org, name, '*': path } = (params ?? {}) as Record<string, string | undefined>;
  const named = [query, body].map((value) => (value as { model?: unknown } | null | undefined)?.model);
  const [, treeOrg, treeName] = path?.split('/') ?? [];
  const candidates = [
    org === undefined ? undefined : `${org}/${name}`,
    treeOrg === undefined ? undefined : `${treeOrg}/${treeName?.replace(/@.*$/, '')}`,
    ...named,
  ];
  const text = candidates.find((candidate): candidate is string => typeof candidate === 'string');
  try {
    return text === undefined ? undefined : formatModelName(parseModelName(text));
  } catch {
    return undefined;
  }
}
