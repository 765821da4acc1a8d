import fastify from 'fastify';
import { describe, expect, it } from 'vitest';
import { ANYBODY, type Grant } from '../core/access.js';
import { NodeRegistry } from './node-registry.js';
import { nodeListSchema, nodeRoutes } from './node-routes.js';

const ID = '3f0c1b1e-8a52-4f5e-9b57-0d3c5a1f6e21';
const RECORD = {
  id: ID,
  name: 'left',
  url: 'http://127.0.0.1:7071',
  model: 'org/name',
  revision: '0123456789abcdef0123456789abcdef01234567',
  blocks: { start: 0, end: 4 },
  embed: true,
  head: false,
};

function server(grant: Grant = ANYBODY, registry = new NodeRegistry({ lifetimeMs: 12_345, maxNodes: 1 })) {
  const app = fastify();
  app.decorateRequest('grant', { getter: () => grant });
  app.setErrorHandler((error, _request, reply) =>
    reply.status(400).send({ code: (error as { code?: string }).code, message: (error as Error).message }),
  );
  nodeRoutes(app, registry);
  return { app, registry };
}

describe('node routes', () => {
  it('take a node, list it and let it leave', async () => {
    const { app } = server();
    const put = await app.inject({ method: 'PUT', url: `/v1/nodes/${ID}`, payload: RECORD });
    expect([put.statusCode, put.json()]).toEqual([200, { lifetimeMs: 12_345 }]);
    const list = async (query = '') => {
      const answer = await app.inject({ url: `/v1/nodes${query}` });
      return nodeListSchema.parse(answer.json()).nodes;
    };
    expect(await list()).toEqual([RECORD]);
    expect(await list('?model=org/name')).toEqual([RECORD]);
    expect(await list('?model=org/other')).toEqual([]);
    expect((await app.inject({ method: 'DELETE', url: `/v1/nodes/${ID}` })).statusCode).toBe(200);
    expect(await list()).toEqual([]);
  });

  const without = Object.fromEntries(Object.entries(RECORD).filter(([name]) => name !== 'head'));
  it.each([
    ['nothing', null],
    ['an array', [RECORD]],
    ['a string', '"node"'],
    ['JSON that is cut off', '{"id":'],
    ['a field missing', without],
    ['a field too many', { ...RECORD, admin: true }],
    ['__proto__', JSON.stringify(RECORD).replace('{', '{"__proto__":{"admin":true},')],
    ['an id that is no UUID', { ...RECORD, id: '../x' }],
    ['the id of another', { ...RECORD, id: ID.replace('3', '4') }],
    ['no name', { ...RECORD, name: '' }],
    ['an endless name', { ...RECORD, name: 'n'.repeat(201) }],
    ['a URL that is none', { ...RECORD, url: 'left' }],
    ['a URL of a file', { ...RECORD, url: 'file:///etc/passwd' }],
    ['a URL of a script', { ...RECORD, url: 'javascript:alert(1)' }],
    ['an endless URL', { ...RECORD, url: `http://${'n'.repeat(300)}/` }],
    ['a model that is a path', { ...RECORD, model: '../../etc' }],
    ['a ref instead of a revision', { ...RECORD, revision: 'main' }],
    ['blocks below zero', { ...RECORD, blocks: { start: -1, end: 4 } }],
    ['half blocks', { ...RECORD, blocks: { start: 0.5, end: 4 } }],
    ['no blocks', { ...RECORD, blocks: { start: 4, end: 4 } }],
    ['blocks backwards', { ...RECORD, blocks: { start: 4, end: 2 } }],
    ['more blocks than any model has', { ...RECORD, blocks: { start: 0, end: 1e9 } }],
    ['blocks as text', { ...RECORD, blocks: '0:4' }],
    ['a flag as text', { ...RECORD, embed: 'yes' }],
  ])('refuse %s', async (_what, payload) => {
    const { app, registry } = server();
    const answer = await app.inject({
      method: 'PUT',
      url: `/v1/nodes/${ID}`,
      headers: { 'content-type': 'application/json' },
      payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.body.length).toBeLessThan(1000);
    expect(registry.list()).toEqual([]);
  });

  it('refuse one node too many', async () => {
    const { app, registry } = server();
    await app.inject({ method: 'PUT', url: `/v1/nodes/${ID}`, payload: RECORD });
    const second = ID.replace('3', '4');
    const answer = await app.inject({
      method: 'PUT',
      url: `/v1/nodes/${second}`,
      payload: { ...RECORD, id: second },
    });
    expect(answer.json()).toMatchObject({ code: 'unavailable' });
    expect(registry.list()).toHaveLength(1);
  });

  describe('with tokens', () => {
    const OTHER = { ...RECORD, id: ID.replace('3', '4'), model: 'other/name' };
    const grant = (tokenId: string, models = '*'): Grant => ({
      tokenId,
      name: tokenId,
      role: 'node',
      models,
    });

    function shared() {
      const registry = new NodeRegistry();
      const as = (who: Grant) => {
        const { app } = server(who, registry);
        return {
          put: async (payload: typeof RECORD) =>
            (await app.inject({ method: 'PUT', url: `/v1/nodes/${payload.id}`, payload })).json<{
              code?: string;
            }>(),
          remove: async (id: string) =>
            (await app.inject({ method: 'DELETE', url: `/v1/nodes/${id}` })).json<{ code?: string }>(),
          list: async () =>
            nodeListSchema
              .parse((await app.inject({ url: '/v1/nodes' })).json())
              .nodes.map(({ model }) => model),
        };
      };
      return { registry, as };
    }

    it('show the nodes of the models that a grant shows, and take no others', async () => {
      const { as } = shared();
      const own = as(grant('a', 'org/*'));
      expect(await own.put(RECORD)).not.toHaveProperty('code');
      expect(await own.put(OTHER)).toMatchObject({ code: 'not-found' });
      expect(await as(grant('b')).put(OTHER)).not.toHaveProperty('code');
      expect(await own.list()).toEqual(['org/name']);
      expect(await as(grant('b')).list()).toEqual(['org/name', 'other/name']);
    });

    it('have no node for who may not see its model, as if it were not there', async () => {
      const { as, registry } = shared();
      await as(grant('a')).put(RECORD);
      const [scoped, absent] = [as(grant('b', 'other/*')), ID.replace('3', '5')];
      const told = async (id: string): Promise<string> =>
        JSON.stringify(await scoped.remove(id)).replace(id, 'ID');
      expect(await told(ID)).toBe(await told(absent));
      expect(await scoped.remove(ID)).toMatchObject({ code: 'not-found' });
      expect(await as(grant('a')).remove(absent)).toMatchObject({ code: 'not-found' });
      expect(registry.list()).toEqual([RECORD]);
    });

    it('leave a record to the token that registered it', async () => {
      const { as, registry } = shared();
      const [first, second, anybody] = [as(grant('a')), as(grant('b')), as(ANYBODY)];
      await first.put(RECORD);
      for (const other of [second, anybody]) {
        expect(await other.put({ ...RECORD, url: 'http://127.0.0.1:1' })).toMatchObject({ code: 'refused' });
        expect(await other.remove(ID)).toMatchObject({ code: 'refused' });
      }
      expect(registry.list()).toEqual([RECORD]);
      expect(await first.put(RECORD)).not.toHaveProperty('code');
      expect(await first.remove(ID)).not.toHaveProperty('code');
      expect(await second.put(RECORD)).not.toHaveProperty('code');
      registry.removeOf('a');
      expect(registry.list()).toEqual([RECORD]);
      registry.removeOf('b');
      expect(registry.list()).toEqual([]);
    });
  });
});
