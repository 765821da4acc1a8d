import fastify, { type FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { answersErrors } from '../../test/support/answers-errors.js';
import { ANYBODY, type Grant } from '../core/access.js';
import { stageServer, type StageServerOptions } from './stage-server.js';
import { encodeTensorMessage, TENSOR_MEDIA_TYPE } from './tensor-message.js';

const SESSION = 'session-0000-0001';
const OPEN = { session: SESSION, model: 'acme/rose', revision: 'a'.repeat(40), max_tokens: 5 };

/** A stage that nothing may reach; only what it is made of counts. */
const OPTIONS = {
  stage: { blocks: { start: 0, end: 4 }, embed: true, head: false },
  identity: { model: 'acme/rose', revision: 'a'.repeat(40) },
  config: { hiddenSize: 8, vocabSize: 16, kvHeadCount: 1, headDim: 4 },
} as unknown as StageServerOptions;

async function served(models: string): Promise<{ app: FastifyInstance; access: unknown[] }> {
  const app = answersErrors(fastify());
  const access: unknown[] = [];
  app.decorateRequest('grant', { getter: () => ({ ...ANYBODY, models }) });
  app.addHook('onRoute', ({ config }) => void access.push(config?.access));
  await app.register(stageServer, OPTIONS);
  return { app, access };
}

describe('a stage', () => {
  it.each([['*'], ['acme/*'], ['acme/rose']])('is there for who may see %s', async (models) => {
    const { app } = await served(models);
    expect((await app.inject({ url: '/v1/stage' })).json()).toMatchObject({ model: 'acme/rose' });
  });

  it.each([
    ['GET', '/v1/stage'],
    ['POST', '/v1/stage/sessions'],
    ['POST', '/v1/stage/sessions/s/forward?position=0'],
    ['DELETE', '/v1/stage/sessions/s'],
  ] as const)('is not there for who may not see its model: %s %s', async (method, url) => {
    const { app } = await served('other/*');
    const answer = await app.inject({ method, url });
    expect(answer.statusCode).toBe(404);
    expect(answer.body).not.toContain('acme');
  });

  it('may be used by who may read', async () => {
    const { access } = await served('*');
    expect(new Set(access)).toEqual(new Set(['read']));
  });
});

describe('a session', () => {
  /** A stage that is used by whoever the header says. */
  async function sharedStage(): Promise<{
    ask: (who: string, method: 'POST' | 'DELETE', path?: string) => Promise<{ status: number; body: string }>;
    open: Set<string>;
    revoke: (tokenId: string) => void;
    listeners: Set<(tokenId: string) => void>;
    app: FastifyInstance;
  }> {
    const open = new Set<string>();
    const listeners = new Set<(tokenId: string) => void>();
    const app = answersErrors(fastify());
    app.decorateRequest('grant', null as unknown as Grant);
    app.addHook('onRequest', (request, _reply, next) => {
      const tokenId = String(request.headers['x-token']);
      request.grant = { tokenId, name: tokenId, role: 'read', models: '*' };
      next();
    });
    const stage = {
      ...OPTIONS.stage,
      open: (id: string) => Promise.resolve(void open.add(id)),
      close: (id: string) => Promise.resolve(void open.delete(id)),
      forward: () => Promise.resolve({ kind: 'hidden' as const, data: new Float32Array(8) }),
    };
    const doorkeeper = {
      onRevoked: (listener: (tokenId: string) => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
    };
    await app.register(stageServer, { ...OPTIONS, stage, doorkeeper });
    const input = Buffer.concat(
      encodeTensorMessage({ name: 'input_ids', shape: [1, 1], data: BigInt64Array.of(1n) }),
    );
    return {
      ask: async (who, method, path = '') => {
        const payload = path === '' ? OPEN : method === 'POST' ? input : undefined;
        const type = path === '' ? 'application/json' : TENSOR_MEDIA_TYPE;
        const answer = await app.inject({
          method,
          url: `/v1/stage/sessions${path}`,
          headers: { 'x-token': who, ...(payload === undefined ? {} : { 'content-type': type }) },
          ...(payload === undefined ? {} : { payload }),
        });
        return { status: answer.statusCode, body: answer.statusCode === 200 ? '' : answer.body };
      },
      open,
      revoke: (tokenId) => listeners.forEach((listener) => listener(tokenId)),
      listeners,
      app,
    };
  }

  it('is there for the token that opened it alone', async () => {
    const { ask, open } = await sharedStage();
    const forward = `/${SESSION}/forward?position=0`;
    const unknown = await ask('b', 'POST', forward);
    expect(unknown.status).toBe(404);
    expect(await ask('a', 'POST')).toMatchObject({ status: 201 });
    expect(await ask('b', 'POST', forward)).toEqual(unknown);
    expect(await ask('b', 'DELETE', `/${SESSION}`)).toEqual({ status: 204, body: '' });
    expect(await ask('a', 'POST', forward)).toMatchObject({ status: 200 });
    expect(open.size).toBe(1);
    expect(await ask('a', 'DELETE', `/${SESSION}`)).toMatchObject({ status: 204 });
    expect(open.size).toBe(0);
  });

  it('ends when its token is revoked', async () => {
    const { ask, open, revoke, listeners, app } = await sharedStage();
    await ask('a', 'POST');
    await ask('b', 'POST');
    revoke('a');
    expect(open.size).toBe(1);
    expect(await ask('a', 'POST', `/${SESSION}/forward?position=0`)).toMatchObject({ status: 404 });
    expect(await ask('b', 'POST', `/${SESSION}/forward?position=0`)).toMatchObject({ status: 200 });
    await app.close();
    expect(listeners.size).toBe(0);
  });
});
