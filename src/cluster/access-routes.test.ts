import fastify from 'fastify';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { testDirectory } from '../../test/support/directories.js';
import { StepClock } from '../../test/support/step-clock.js';
import { ANYBODY, type Grant } from '../core/access.js';
import type { Decision } from '../core/doorkeeper.js';
import { ERROR_STATUS } from '../core/error-status.js';
import { CalyxError, isCalyxError } from '../core/errors.js';
import { accessRoutes } from './access-routes.js';
import { signedStatements } from './tokens/token-statements.js';
import { TokenTable } from './tokens/token-table.js';

const ADMIN: Grant = { tokenId: 'aaaaaaaaaaaa', name: 'boss', role: 'admin', models: '*' };
const ACME: Grant = { ...ADMIN, models: 'acme/*' };
const NEW = { name: 'laptop', role: 'read', models: 'acme/*' };

async function start(pollMs = 20_000, elsewhere?: () => CalyxError) {
  const clock = new StepClock();
  const table = await TokenTable.open(join(testDirectory(), 'tokens.json'), {
    fingerprint: 'f'.repeat(43),
    clock,
    elsewhere,
  });
  onTestFinished(() => table.close());
  const decisions: Decision[] = [];
  const issue = vi.fn((_request: string, _grant: Grant, lifetimeMs: number) =>
    Promise.resolve({ certificate: 'PEM', expiresAt: clock.now() + lifetimeMs }),
  );
  const issueStore = vi.fn((_request: string, _names: readonly string[], lifetimeMs: number) =>
    Promise.resolve({ certificate: 'STORE', expiresAt: clock.now() + lifetimeMs }),
  );
  const who: { grant: Grant } = { grant: ADMIN };
  const routes = new Map<string, string | undefined>();
  const app = fastify();
  app.addHook('onRoute', ({ method, url, config }) => {
    if (method !== 'HEAD') routes.set(`${String(method)} ${url}`, config?.access);
  });
  app.decorateRequest('grant', { getter: () => who.grant });
  app.setErrorHandler((error, _request, reply) =>
    reply.status(isCalyxError(error) ? ERROR_STATUS[error.code] : 500).send({ message: String(error) }),
  );
  accessRoutes(app, {
    table,
    // Who signs, and how, is tried elsewhere.
    statements: signedStatements(table, (kind, statement) => ({ statement, signature: `${kind} by writer` })),
    fingerprint: 'f'.repeat(43),
    issue,
    issueStore,
    decided: (decision) => decisions.push(decision),
    pollMs,
  });
  onTestFinished(() => app.close());
  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) => {
    const answer = await app.inject({ method, url, ...(payload === undefined ? {} : { payload }) });
    return {
      status: answer.statusCode,
      body: answer.json<Record<string, unknown>>(),
      headers: answer.headers,
    };
  };
  return { table, clock, decisions, issue, issueStore, who, routes, ask };
}

/** What is said of those that are denied, as of now. */
function denied({ version }: TokenTable, ...ids: string[]): object {
  return { statement: JSON.stringify({ version, denied: ids }), signature: 'denied by writer' };
}

describe('access routes', () => {
  it('say who may use them', async () => {
    const { routes } = await start();
    expect(Object.fromEntries(routes)).toEqual({
      'GET /v1/whoami': 'read',
      'GET /v1/tokens': 'admin',
      'POST /v1/tokens': 'admin',
      'DELETE /v1/tokens/:id': 'admin',
      'POST /v1/certificates': 'read',
      'GET /v1/access/denied': 'read',
      'GET /v1/access/tokens': 'admin',
    });
  });

  it('tell who one is', async () => {
    const { ask, who } = await start();
    const about = { fingerprint: 'f'.repeat(43), name: 'boss', role: 'admin', models: '*' };
    expect((await ask('GET', '/v1/whoami')).body).toEqual({
      ...about,
      token: 'aaaaaaaaaaaa',
      expiresAt: null,
    });
    who.grant = ANYBODY;
    expect((await ask('GET', '/v1/whoami')).body).toMatchObject({
      name: 'anybody',
      role: 'node',
      token: null,
    });
  });

  it('make, list and revoke tokens, and tell their text once', async () => {
    const { ask, table, decisions } = await start();
    const made = await ask('POST', '/v1/tokens', { ...NEW, expiresIn: 60 });
    expect(made.status).toBe(201);
    expect(made.headers['cache-control']).toBe('no-store');
    const { token, id } = made.body as { token: string; id: string };
    expect(made.body).toEqual({
      token,
      id,
      ...NEW,
      createdAt: 1_000_000,
      expiresAt: 1_060_000,
      under: 'aaaaaaaaaaaa',
    });
    expect(table.check(token)).toEqual({ tokenId: id, ...NEW });
    const list = await ask('GET', '/v1/tokens');
    expect(list.body).toEqual({
      tokens: [{ id, ...NEW, createdAt: 1_000_000, expiresAt: 1_060_000, under: 'aaaaaaaaaaaa' }],
    });
    expect((await ask('DELETE', `/v1/tokens/${id}`)).body).toMatchObject({ id, revokedAt: 1_000_000 });
    expect((await ask('DELETE', '/v1/tokens/ffffffffffff')).status).toBe(404);
    expect(decisions).toMatchObject([
      { door: 'management', action: 'token create', subject: id, grant: ADMIN, allowed: true },
      { door: 'management', action: 'token revoke', subject: id, allowed: true },
      {
        door: 'management',
        action: 'token revoke',
        subject: 'ffffffffffff',
        allowed: false,
        reason: 'not-found',
      },
    ]);
    expect(JSON.stringify(decisions)).not.toContain(token.split('.')[2]);
  });

  it.each([
    ['nothing', undefined],
    ['no role', { name: 'x', models: '*' }],
    ['no pattern', { name: 'x', role: 'read' }],
    ['a role that is none', { ...NEW, role: 'root' }],
    ['a pattern that is none', { ...NEW, models: 'acme' }],
    ['an empty name', { ...NEW, name: '' }],
    ['an endless name', { ...NEW, name: 'n'.repeat(101) }],
    ['a name that a terminal would obey', { ...NEW, name: '\u001b[2J' }],
    ['a field too many', { ...NEW, id: '0' }],
    ['no time at all', { ...NEW, expiresIn: 0 }],
    ['more than ten years', { ...NEW, expiresIn: 10 * 365 * 86_400 + 1 }],
    ['half a second', { ...NEW, expiresIn: 0.5 }],
    ['a time as text', { ...NEW, expiresIn: '60' }],
  ])('make no token of %s', async (_what, payload) => {
    const { ask, table } = await start();
    expect((await ask('POST', '/v1/tokens', payload)).status).toBe(400);
    expect(table.list()).toEqual([]);
  });

  it('keep who manages some models within them', async () => {
    const { ask, table, who } = await start();
    const { record } = await table.create({ name: 'other', role: 'read', models: 'other/*' });
    who.grant = ACME;
    for (const models of ['*', '*/*', 'a*/x', 'other/x', 'acme*/x'])
      expect((await ask('POST', '/v1/tokens', { ...NEW, models })).status, models).toBe(403);
    for (const models of ['acme/*', 'acme/llama-*', 'acme/x'])
      expect((await ask('POST', '/v1/tokens', { ...NEW, models })).status, models).toBe(201);
    const { tokens } = (await ask('GET', '/v1/tokens')).body as { tokens: { models: string }[] };
    expect(tokens.map(({ models }) => models)).toEqual(['acme/*', 'acme/llama-*', 'acme/x']);
    expect((await ask('DELETE', `/v1/tokens/${record.id}`)).status).toBe(404);
    expect(table.denied()).toEqual([]);
  });

  it('give certificates to who holds a token, and none that outlives it', async () => {
    const { ask, table, issue, who, clock } = await start();
    const { record } = await table.create({ name: 'n', role: 'node', models: '*', expiresInMs: 600_000 });
    const lasting = await table.create({ name: 'n', role: 'node', models: '*' });
    const certificate = (more = {}) => ask('POST', '/v1/certificates', { request: 'CSR', ...more });
    who.grant = { tokenId: lasting.record.id, name: 'n', role: 'node', models: '*' };
    expect(await certificate()).toMatchObject({
      status: 200,
      body: { certificate: 'PEM', expiresAt: 4_600_000 },
    });
    expect(issue).toHaveBeenLastCalledWith('CSR', who.grant, 3_600_000);
    await certificate({ lifetimeSeconds: 86_400 });
    expect(issue).toHaveBeenLastCalledWith('CSR', who.grant, 86_400_000);
    who.grant = { ...who.grant, tokenId: record.id };
    await certificate();
    expect(issue).toHaveBeenLastCalledWith('CSR', who.grant, 600_000);
    for (const more of [
      { lifetimeSeconds: 59 },
      { lifetimeSeconds: 86_401 },
      { request: '' },
      { x: 1 },
      { request: 'x'.repeat(16_385) },
    ])
      expect((await certificate(more)).status).toBe(400);
    await clock.advance(600_000);
    expect((await certificate()).status).toBe(401);
    who.grant = ANYBODY;
    expect((await certificate()).status).toBe(401);
    expect(issue).toHaveBeenCalledTimes(3);
  });

  it('tell what is denied as soon as it is', async () => {
    const { ask, table } = await start();
    const { record } = await table.create({ name: 'n', role: 'read', models: '*' });
    const first = await ask('GET', '/v1/access/denied');
    expect(first.body).toEqual(denied(table));
    const next = ask('GET', `/v1/access/denied?after=${table.version}`);
    await table.revoke(record.id);
    expect((await next).body).toEqual(denied(table, record.id));
    // A version of before.
    expect((await ask('GET', '/v1/access/denied?after=1')).body).toEqual(denied(table, record.id));
    for (const query of ['after=x', 'after=-1', 'after=', 'after=1&after=2', 'x=1'])
      expect((await ask('GET', `/v1/access/denied?${query}`)).status).toBe(400);
  });

  it('answer after a while also if nothing is new', async () => {
    const { ask, table } = await start(1);
    const answer = await ask('GET', `/v1/access/denied?after=${table.version}`);
    expect(answer.body).toEqual(denied(table));
  });

  it('give who manages all models the certificate of a store, and nobody else', async () => {
    const { ask, table, issueStore, issue, who, decisions } = await start();
    const { record } = await table.create({ name: 'n', role: 'admin', models: '*', expiresInMs: 86_400_000 });
    const lasting = await table.create({ name: 'n', role: 'admin', models: '*' });
    const NAMES = ['replica.example', '10.0.0.2', '::1'];
    const certificate = (more = {}) =>
      ask('POST', '/v1/certificates', { request: 'CSR', names: NAMES, ...more });
    who.grant = { ...ADMIN, tokenId: lasting.record.id };
    expect(await certificate()).toMatchObject({ status: 200, body: { certificate: 'STORE' } });
    expect(issueStore).toHaveBeenLastCalledWith('CSR', NAMES, 30 * 86_400_000);
    expect(decisions.at(-1)).toMatchObject({ action: 'store certificate', allowed: true });
    for (const names of [
      [''],
      ['*.example'],
      ['a b'],
      ['a/b'],
      ['x'.repeat(254)],
      ['node.calyx.internal'],
      ['a', 1],
      'a',
      Array.from({ length: 65 }, (_, index) => `h${index}`),
    ])
      expect((await certificate({ names })).status, JSON.stringify(names)).toBe(400);
    expect((await certificate({ lifetimeSeconds: 30 * 86_400 + 1 })).status).toBe(400);
    who.grant = { ...ADMIN, tokenId: record.id };
    await certificate();
    expect(issueStore).toHaveBeenLastCalledWith('CSR', NAMES, 86_400_000);
    for (const grant of [{ ...who.grant, role: 'node' } as const, { ...who.grant, models: '*/*' }]) {
      who.grant = grant;
      expect((await certificate()).status).toBe(403);
    }
    expect(decisions.at(-1)).toMatchObject({
      action: 'store certificate',
      allowed: false,
      reason: 'refused',
    });
    expect(issueStore).toHaveBeenCalledTimes(2);
    expect(issue).not.toHaveBeenCalled();
  });

  it('tell other stores the table with its hashes, each time when it changes', async () => {
    const { ask, table, who } = await start();
    const { record } = await table.create({ name: 'n', role: 'read', models: '*' });
    const first = await ask('GET', '/v1/access/tokens');
    expect(first.headers['cache-control']).toBe('no-store');
    const { version } = table;
    expect(first.body).toEqual({
      version,
      tokens: {
        statement: JSON.stringify({ version, tokens: table.stored() }),
        signature: 'tokens by writer',
      },
      denied: denied(table),
    });
    const said = ({ body }: { body: Record<string, unknown> }): unknown =>
      JSON.parse((body['tokens'] as { statement: string }).statement);
    expect(said(first)).toMatchObject({
      tokens: [{ id: record.id, sha256: expect.stringMatching(/^[0-9a-f]{64}$/) as string }],
    });
    const made = ask('GET', `/v1/access/tokens?after=${table.version}`);
    await table.create({ name: 'm', role: 'read', models: '*' });
    expect(said(await made)).toMatchObject({ tokens: [{ name: 'n' }, { name: 'm' }] });
    const revoked = ask('GET', `/v1/access/tokens?after=${table.version}`);
    await table.revoke(record.id);
    expect(said(await revoked)).toMatchObject({ tokens: [{ id: record.id, revokedAt: 1_000_000 }, {}] });
    expect((await revoked).body).toMatchObject({ denied: denied(table, record.id) });
    who.grant = ACME;
    expect((await ask('GET', '/v1/access/tokens')).status).toBe(403);
  });

  it('say that nothing has changed without the table', async () => {
    const { ask, table } = await start(1);
    const answer = await ask('GET', `/v1/access/tokens?after=${table.version}`);
    expect(answer.body).toEqual({ version: table.version });
  });

  it('on a replica name who does what it cannot do', async () => {
    const { ask, table, issue } = await start(1, () => new CalyxError('unavailable', 'ask the writer'));
    const stored = { id: 'aaaaaaaaaaaa', name: 'n', role: 'admin', models: '*', createdAt: 1 } as const;
    const tokens = [{ ...stored, sha256: '0'.repeat(64) }];
    await table.replace({ version: 1, tokens, denied: { statement: '', signature: '' } }).written;
    for (const [method, path, body] of [
      ['POST', '/v1/tokens', NEW],
      ['DELETE', '/v1/tokens/aaaaaaaaaaaa', undefined],
      ['POST', '/v1/certificates', { request: 'CSR' }],
      ['POST', '/v1/certificates', { request: 'CSR', names: [] }],
      ['GET', '/v1/access/tokens', undefined],
    ] as const)
      expect(await ask(method, path, body), path).toMatchObject({
        status: 503,
        body: { message: expect.stringContaining('ask the writer') as string },
      });
    expect(issue).not.toHaveBeenCalled();
    expect((await ask('GET', '/v1/tokens')).body).toMatchObject({ tokens: [{ id: 'aaaaaaaaaaaa' }] });
    expect((await ask('GET', '/v1/access/denied')).status).toBe(200);
  });
});
