import type { FastifyInstance } from 'fastify';
import { CalyxError } from '../../../core/errors.js';
import { answerOf, isFailure } from '../answer-of.js';
import { accountRoute } from './account-route.js';
import { ggufManifestRoute } from './gguf-manifest-route.js';
import { replyHubError } from './hub-error.js';
import { READ, type HubContent } from './hub-content.js';
import { modelRoutes } from './model-routes.js';
import { resolveRoute, withoutOrganisation } from './resolve-route.js';
import { treeRoutes } from './tree-routes.js';

/**
 * The read-only part of the API of the Hugging Face Hub, for clients whose `HF_ENDPOINT` is a store. Models are repositories, and so
 * are slices, as `ORG/NAME_blocks_4-8[_embed][_head]`. Errors have the Hub's form.
 */
export function hubRoutes(server: FastifyInstance, content: HubContent): void {
  // A scope of its own, for errors and bodies that no other route has.
  void server.register((hub, _options, done) => {
    hub.setErrorHandler((error, request, reply) => {
      const answer = answerOf(error, request);
      const { method, url } = request;
      if (isFailure(answer)) content.failures.tell({ error, reference: answer.reference, method, url });
      return replyHubError(error, answer, request, reply);
    });
    hub.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'string' },
      (_request, body, parsed) => parsed(null, formValues(String(body))),
    );
    accountRoute(hub);
    modelRoutes(hub, content);
    treeRoutes(hub, content);
    resolveRoute(hub, content);
    ggufManifestRoute(hub, content);
    hub.get('/api/*', READ, (request) => {
      const path = request.url.split('?')[0] ?? '';
      const [, alone] = /^\/api\/models\/([^/]+)(?:\/(?:revision|tree)\/.*)?$/.exec(path) ?? [];
      if (alone !== undefined) throw withoutOrganisation(alone);
      throw new CalyxError('not-found', `a store has no ${path.slice(0, 200)} of the Hub's API`, {
        hint: 'it serves what is needed to list and download models',
      });
    });
    done();
  });
}

/** Names with all their values. */
function formValues(body: string): Record<string, string | string[]> {
  const form = new URLSearchParams(body);
  const names = [...new Set(form.keys())].filter((name) => name !== '__proto__');
  return Object.fromEntries(
    names.map((name) => {
      const values = form.getAll(name);
      return [name, values.length === 1 ? (values[0] ?? '') : values];
    }),
  );
}
