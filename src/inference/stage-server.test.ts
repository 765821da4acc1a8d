import fastify, { type FastifyInstance } from 'fastify';
import { describe, expect, it } from 'vitest';
import { ANYBODY } from '../core/access.js';
import { stageServer, type StageServerOptions } from './stage-server.js';

/** A stage that nothing may reach; only what it is made of counts. */
const OPTIONS = {
  stage: { blocks: { start: 0, end: 4 }, embed: true, head: false },
  identity: { model: 'acme/rose', revision: 'a'.repeat(40) },
  config: { hiddenSize: 8, vocabSize: 16 },
} as unknown as StageServerOptions;

async function served(models: string): Promise<{ app: FastifyInstance; access: unknown[] }> {
  const app = fastify();
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
