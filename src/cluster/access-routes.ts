import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Grant } from '../core/access.js';
import type { Decision } from '../core/doorkeeper.js';
import { CalyxError, isCalyxError } from '../core/errors.js';
import { parseModelPattern } from '../core/model-pattern.js';
import { modelsSchema, roleSchema, tokenNameSchema, type TokenRecord } from './tokens/token-record.js';
import { noToken, type TokenTable } from './tokens/token-table.js';

/** Options of {@link accessRoutes}. */
export interface AccessRoutesOptions {
  readonly table: TokenTable;
  /** Of the certificate of the cluster. */
  readonly fingerprint: string;
  /** Issues a certificate for a key (a request, PEM) that carries a grant. */
  readonly issue: (
    request: string,
    grant: Grant,
    lifetimeMs: number,
  ) => Promise<{ readonly certificate: string; readonly expiresAt: number }>;
  /** Told of what is done to tokens and certificates; never throws, never waits. */
  readonly decided: (decision: Decision) => void;
  /** How long a question for the denied ids waits for news. @default 20000 */
  readonly pollMs?: number;
}

const TEN_YEARS_SECONDS = 10 * 365 * 86_400;
/** Requests of ours have some 500 bytes. */
const MAX_REQUEST_LENGTH = 16 * 1024;
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
const certificateSchema = z.strictObject({
  request: z.string().min(1).max(MAX_REQUEST_LENGTH),
  lifetimeSeconds: z.number().int().min(60).max(86_400).default(3600),
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
 * - `GET /v1/access/denied[?after=VERSION]`: {version, denied: [ids]}; with the version of the last answer it waits for news
 *
 * Who manages with a pattern of models sees and makes only tokens within it. Times are milliseconds since 1970.
 */
export function accessRoutes(server: FastifyInstance, options: AccessRoutesOptions): void {
  const { table, fingerprint, issue } = options;
  /** Runs what changes something, and tells how that went. */
  const decide = async <T>(
    request: FastifyRequest,
    action: string,
    run: () => Promise<{ value: T; subject: string }>,
    subject?: string,
  ): Promise<T> => {
    const decision = { door: 'management', action, address: request.ip, grant: request.grant } as const;
    try {
      const done = await run();
      options.decided({ ...decision, subject: done.subject, allowed: true });
      return done.value;
    } catch (error) {
      const reason = isCalyxError(error) ? error.code : 'internal';
      options.decided({ ...decision, subject, allowed: false, reason });
      throw error;
    }
  };

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
      const { expiresIn, ...wanted } = parse(newTokenSchema, request.body, 'a token');
      if (!isWithin(wanted.models, request.grant.models))
        throw new CalyxError('refused', 'you may only make tokens within your own pattern of models', {
          hint: `choose one within '${request.grant.models}', or ask who may manage all models`,
        });
      const created = await table.create({
        ...wanted,
        expiresInMs: expiresIn === undefined ? undefined : expiresIn * 1000,
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
        const known = table.find(id);
        // What one does not see is not there.
        if (known === undefined || !isWithin(known.models, request.grant.models)) throw noToken(id);
        return { value: await table.revoke(id), subject: id };
      },
      id,
    );
  });

  server.post('/v1/certificates', READ, (request) =>
    decide(request, 'certificate', async () => {
      const { request: pem, lifetimeSeconds } = parse(certificateSchema, request.body, 'a certificate');
      const token = holderOf(request.grant, table);
      const untilMs = token.expiresAt === undefined ? Infinity : token.expiresAt - table.now;
      const value = await issue(pem, request.grant, Math.min(lifetimeSeconds * 1000, untilMs));
      return { value, subject: token.id };
    }),
  );

  let polls = 0;
  server.get('/v1/access/denied', READ, async (request, reply) => {
    const { after } = parse(afterSchema, request.query, 'what is denied');
    if (after !== undefined && polls < MAX_POLLS) {
      polls += 1;
      const gone = new AbortController();
      const onClose = (): void => gone.abort();
      reply.raw.once('close', onClose);
      try {
        const signal = AbortSignal.any([gone.signal, AbortSignal.timeout(options.pollMs ?? POLL_MS)]);
        await table.changed(after, signal).catch(() => undefined);
      } finally {
        reply.raw.off('close', onClose);
        polls -= 1;
      }
    }
    return { version: table.version, denied: table.denied() };
  });
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
