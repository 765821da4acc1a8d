import fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Grant } from '../../core/access.js';
import type { Decision } from '../../core/doorkeeper.js';
import { CalyxError } from '../../core/errors.js';
import { managementRoutes } from './management-routes.js';

const ADMIN: Grant = { tokenId: 'aaaaaaaaaaaa', name: 'boss', role: 'admin', models: 'acme/*' };

function routes(remove: (model: string, force: boolean) => Promise<number>) {
  const app = fastify();
  onTestFinished(() => app.close());
  const decisions: Decision[] = [];
  app.decorateRequest('grant', { getter: () => ADMIN });
  app.setErrorHandler((error, _request, reply) =>
    reply.status(400).send({ code: (error as CalyxError).code }),
  );
  managementRoutes(
    app,
    {
      publish: () => Promise.reject(new Error('not used')),
      remove: async ({ org, name }, force) => ({ blobs: [], bytes: await remove(`${org}/${name}`, force) }),
    },
    (decision) => decisions.push(decision),
  );
  const ask = async (path: string): Promise<unknown> =>
    (
      await app.inject({ method: 'DELETE', url: `/v1/models/${path}`, remoteAddress: '::ffff:192.0.2.7' })
    ).json();
  return { ask, decisions };
}

describe('removing a model over HTTP', () => {
  it('is told of by itself: who, what, from where', async () => {
    const { ask, decisions } = routes((_model, force) => Promise.resolve(force ? 5 : 3));
    expect(await ask('acme/rose')).toEqual({ model: 'acme/rose', bytes: 3 });
    expect(await ask('acme/lily?force=true')).toEqual({ model: 'acme/lily', bytes: 5 });
    const told = { door: 'management', action: 'remove', address: '192.0.2.7', grant: ADMIN, allowed: true };
    expect(decisions).toEqual([
      { ...told, subject: 'acme/rose' },
      { ...told, subject: 'acme/lily' },
    ]);
  });

  it('is told of also if it is refused, and a model that is not shown is not touched', async () => {
    const asked: string[] = [];
    const { ask, decisions } = routes((model) => {
      asked.push(model);
      return Promise.reject(new CalyxError('refused', 'it is in use'));
    });
    expect(await ask('acme/rose')).toEqual({ code: 'refused' });
    expect(await ask('zeta/lily')).toEqual({ code: 'not-found' });
    expect(asked).toEqual(['acme/rose']);
    expect(decisions).toMatchObject([
      { action: 'remove', subject: 'acme/rose', allowed: false, reason: 'refused' },
      { action: 'remove', subject: 'zeta/lily', allowed: false, reason: 'not-found' },
    ]);
  });
});
