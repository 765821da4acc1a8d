import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { hasRole, type Grant } from '../core/access.js';
import type { Decision } from '../core/doorkeeper.js';
import { CalyxError } from '../core/errors.js';
import { parseModelPattern } from '../core/model-pattern.js';
import { tellManagement, type ManagementAction } from './audit/tell-management.js';
import { certificateName, isOwnName } from './identity/certificate-names.js';
import { modelsSchema, roleSchema, tokenNameSchema, type TokenRecord } from './tokens/token-record.js';
import type { TokenStatements } from './tokens/token-statements.js';
import { noToken, type TokenTable } from './tokens/token-table.js';

/** Options of {@link accessRoutes}. */
export interface AccessRoutesOptions {
  readonly table: TokenTable;
  /** What is said of it to other stores and to nodes, signed. */
  readonly statements: TokenStatements;
  /** Of the certificate of the cluster. */
  readonly fingerprint: string;
  /** Issues a certificate for a key (a request, PEM) that carries a grant. */
  readonly issue: (
    request: string,
    grant: Grant,
    lifetimeMs: number,
  ) => Promise<{ readonly certificate: string; readonly expiresAt: number }>;
  /** Issues a certificate for another store of the cluster. */
  readonly issueStore: (
    request: string,
    names: readonly string[],
    lifetimeMs: number,
  ) => Promise<{ readonly certificate: string; readonly expiresAt: number }>;
  /** Told of what is done to tokens and certificates; never throws, never waits. */
  readonly decided: (decision: Decision) => void;
  /** How long a question for the denied ids, or for the table, waits for news. @default 20000 */
  readonly pollMs?: number;
}

const TEN_YEARS_SECONDS = 10 * 365 * 86_400;
/** Requests of ours have some 500 bytes. */
const MAX_REQUEST_LENGTH = 16 * 1024;
/** More names than that nobody has for one machine. */
export const MAX_STORE_NAMES = 64;
/** Those of other stores; they are renewed after a third of it, so that the store that issues them may be away for 20 days. */
const STORE_CERTIFICATE_SECONDS = 30 * 86_400;
const POLL_MS = 20_000;
/** More questions than that are answered at once. */
const MAX_POLLS = 10_000;

const READ = { config: { access: 'read' } } as const;
const ADMIN = { config: { access: 'admin' } } as const;

const newTokenSchema = z.strictObject({
  name: tokenNameSchema,
  role: roleSchema,
  models: modelsSchema,
  /** Seconds; without it the token is good until it is revoked. */
  expiresIn: z.number().int().min(1).max(TEN_YEARS_SECONDS).optional(),
});
const requestSchema = z.string().min(1).max(MAX_REQUEST_LENGTH);
const certificateSchema = z.strictObject({
  request: requestSchema,
  lifetimeSeconds: z.number().int().min(60).max(86_400).default(3600),
});
const storeCertificateSchema = z.strictObject({
  request: requestSchema,
  names: z
    .array(z.string().max(253).refine(isStoreName, 'a name is no host name or IP address'))
    .max(MAX_STORE_NAMES),
  lifetimeSeconds: z.number().int().min(60).max(STORE_CERTIFICATE_SECONDS).default(STORE_CERTIFICATE_SECONDS),
});
const afterSchema = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,16}$/)
    .transform(Number)
    .optional(),
});

/**
 * Routes by which people learn who they are, and manage who may come in:
 *
 * - `GET /v1/whoami`: {name, role, models, token, expiresAt, fingerprint}; `token` is its id
 * - `GET /v1/tokens`: {tokens: [...]}; `POST` {name, role, models, expiresIn?} makes one and tells its text, this once;
 *   `DELETE /v1/tokens/ID` revokes it
 * - `POST /v1/certificates` {request, lifetimeSeconds?}: {certificate, expiresAt}, which carries the grant of who asks
 *   with `names` (host names and IP addresses, at most 64) it is one for another store of the cluster, which only admins of all models get
 * - `GET /v1/access/denied[?after=VERSION]`: {statement, signature} of {version, denied: [ids]} (see signed-statement.ts); with the version
 *   of the last answer it waits for news
 * - `GET /v1/access/tokens[?after=VERSION]`: {version, tokens: {statement, signature}, denied: {statement, signature}}, where the first is of
 *   {version, tokens: [...]} with the hashes of their secrets, for other stores of the cluster, so only for admins of all models; with the
 *   version of the last answer it waits for news, and without any answers {version} alone
 *
 * A replica makes, revokes and issues nothing, and passes no table on: it answers `unavailable`, naming who does. Which tokens are denied
 * it tells as the writer has signed it.
 * Who manages with a pattern of models sees and makes only tokens within it. Times are milliseconds since 1970.
 */
export function accessRoutes(server: FastifyInstance, options: AccessRoutesOptions): void {
  const { table, statements, fingerprint, issue, issueStore } = options;
  /** Runs what changes something, and tells how that went. */
  const decide = <T>(
    request: FastifyRequest,
    action: string,
    run: ManagementAction<T>['run'],
    subject?: string,
  ): Promise<T> => tellManagement(request, options.decided, { action, subject, run });

  server.get('/v1/whoami', READ, ({ grant: { tokenId, name, role, models } }) => ({
    name,
    role,
    models,
    token: tokenId ?? null,
    expiresAt: (tokenId === undefined ? undefined : table.find(tokenId)?.expiresAt) ?? null,
    fingerprint,
  }));

  server.get('/v1/tokens', ADMIN, ({ grant }) => ({
    tokens: table.list().filter(({ models }) => isWithin(models, grant.models)),
  }));

  server.post('/v1/tokens', ADMIN, async (request, reply) => {
    const made = await decide(request, 'token create', async () => {
      table.assertOwn();
      const { expiresIn, ...wanted } = parse(newTokenSchema, request.body, 'a token');
      if (!isWithin(wanted.models, request.grant.models))
        throw new CalyxError('refused', 'you may only make tokens within your own pattern of models', {
          hint: `choose one within '${request.grant.models}', or ask who may manage all models`,
        });
      const created = await table.create({
        ...wanted,
        expiresInMs: expiresIn === undefined ? undefined : expiresIn * 1000,
        madeWith: request.grant.tokenId,
      });
      return { value: created, subject: created.record.id };
    });
    // The text of a token is in no cache.
    return reply
      .status(201)
      .header('cache-control', 'no-store')
      .send({ token: made.token, ...made.record });
  });

  server.delete<{ Params: { id: string } }>('/v1/tokens/:id', ADMIN, (request) => {
    const { id } = request.params;
    return decide(
      request,
      'token revoke',
      async () => {
        table.assertOwn();
        const known = table.find(id);
        // What one does not see is not there.
        if (known === undefined || !isWithin(known.models, request.grant.models)) throw noToken(id);
        return { value: await table.revoke(id), subject: id };
      },
      id,
    );
  });

  server.post('/v1/certificates', READ, (request) => {
    const forStore = asksForNames(request.body);
    return decide(request, forStore ? 'store certificate' : 'certificate', async () => {
      table.assertOwn();
      const { grant } = request;
      const token = holderOf(grant, table);
      const untilMs = token.expiresAt === undefined ? Infinity : token.expiresAt - table.now;
      const lifetime = (seconds: number): number => Math.min(seconds * 1000, untilMs);
      if (forStore) {
        refuseUnlessAll(grant, 'run a store of this cluster');
        const wanted = parse(storeCertificateSchema, request.body, 'the certificate of a store');
        const value = await issueStore(wanted.request, wanted.names, lifetime(wanted.lifetimeSeconds));
        return { value, subject: token.id };
      }
      const { request: pem, lifetimeSeconds } = parse(certificateSchema, request.body, 'a certificate');
      return { value: await issue(pem, grant, lifetime(lifetimeSeconds)), subject: token.id };
    });
  });

  const untilNews = longPoll(table, options.pollMs ?? POLL_MS);
  server.get('/v1/access/denied', READ, async (request, reply) => {
    const { after } = parse(afterSchema, request.query, 'what is denied');
    await untilNews(reply, after);
    return statements.denied();
  });

  server.get('/v1/access/tokens', ADMIN, async (request, reply) => {
    table.assertOwn();
    refuseUnlessAll(request.grant, 'follow the tokens');
    const { after } = parse(afterSchema, request.query, 'the tokens');
    await untilNews(reply, after);
    const { version } = table;
    void reply.header('cache-control', 'no-store');
    if (version === after) return { version };
    return { version, tokens: statements.tokens(), denied: statements.denied() };
  });
}

/** Holds an answer back until there is news, somebody has waited long enough, or is gone. */
function longPoll(
  table: TokenTable,
  pollMs: number,
): (reply: FastifyReply, after: number | undefined) => Promise<void> {
  let polls = 0;
  return async (reply, after) => {
    if (after === undefined || polls >= MAX_POLLS) return;
    polls += 1;
    const gone = new AbortController();
    const onClose = (): void => gone.abort();
    reply.raw.once('close', onClose);
    try {
      const enough = AbortSignal.any([gone.signal, AbortSignal.timeout(pollMs)]);
      await table.changed(after, enough).catch(() => undefined);
    } finally {
      reply.raw.off('close', onClose);
      polls -= 1;
    }
  };
}

/** True for what asks for the certificate of a store. */
function asksForNames(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'names' in body;
}

/** A name by which a store may be reached: none of those by which a cluster knows its own. */
function isStoreName(text: string): boolean {
  return certificateName(text)?.value === text.toLowerCase() && !isOwnName(text);
}

/** What stores know and do for all of a cluster is only for who manages all of it. */
function refuseUnlessAll(grant: Grant, what: string): void {
  if (hasRole(grant, 'admin') && grant.models === '*') return;
  throw new CalyxError(
    'refused',
    `the token of ${grant.name} may not ${what}: that takes role admin for all models`,
    { hint: 'make one on the store that has the key of the cluster: calyx token create --role admin' },
  );
}

/** The token of who asks, which is good: a certificate names it, and never outlives it. */
function holderOf(grant: Grant, table: TokenTable): TokenRecord {
  const token = grant.tokenId === undefined ? undefined : table.find(grant.tokenId);
  if (token === undefined)
    throw new CalyxError('unauthenticated', 'a certificate is only for the holder of a token', {
      hint: "send one; get it from 'calyx token create' on the store",
    });
  table.assertLive(token);
  return token;
}

/**
 * True if a pattern shows nothing that another does not show. A `*` in the inner one can only be met by a `*` of the outer one, which
 * then meets whatever the inner one stands for; so it is enough to take the inner pattern for a name.
 */
function isWithin(inner: string, outer: string): boolean {
  if (outer === '*') return true;
  const [org, name, ...more] = inner.split('/');
  if (org === undefined || name === undefined || more.length > 0) return false;
  return parseModelPattern(outer)({ org, name });
}

function parse<T>(schema: z.ZodType<T>, value: unknown, what: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new CalyxError(
    'usage',
    `this does not ask for ${what}: ${z.prettifyError(result.error).slice(0, 500)}`,
  );
}
