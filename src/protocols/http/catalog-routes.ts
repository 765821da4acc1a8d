import type { FastifyInstance } from 'fastify';
import type { Grant } from '../../core/access.js';
import { isCalyxError } from '../../core/errors.js';
import { formatModelName, parseModelName, parseRevision } from '../../core/names.js';
import type { CatalogReader } from '../../catalog/catalog-reader.js';

const READ = { config: { access: 'read' } } as const;

/**
 * Routes that tell which models exist:
 *
 * - `/v1/models`: all of them, with their refs; one whose refs cannot be read is left out
 * - `/v1/models/ORG/NAME/revisions/REVISION`: what a ref or revision id names, with the digest of its manifest
 *
 * @param view the catalog as a grant shows it; asked for each request
 */
export function catalogRoutes(server: FastifyInstance, view: (grant: Grant) => CatalogReader): void {
  server.get('/v1/models', READ, async (request) => {
    const catalog = view(request.grant);
    const models = await catalog.models();
    const entries = await Promise.all(
      models.map(async (model) => {
        try {
          return [{ name: formatModelName(model), refs: Object.fromEntries(await catalog.refs(model)) }];
        } catch (error) {
          if (!isCalyxError(error, 'corrupt', 'unreadable', 'not-found')) throw error;
          return [];
        }
      }),
    );
    return { models: entries.flat() };
  });

  server.get<{ Params: { org: string; name: string; revision: string } }>(
    '/v1/models/:org/:name/revisions/:revision',
    READ,
    async (request) => {
      const catalog = view(request.grant);
      const { org, name, revision } = request.params;
      const model = parseModelName(`${org}/${name}`);
      const found = await catalog.resolve({ model, revision: parseRevision(revision) });
      // Of the same moment as the rest: a ref that moves in between would look forged.
      const { ref, signature } = found;
      return {
        model: formatModelName(model),
        revision: found.revision,
        manifest: found.manifestDigest,
        generation: ref?.generation ?? 0,
        ...(ref !== undefined && { ref: revision, signature: ref.signature }),
        ...(ref === undefined && signature !== undefined && { signature }),
      };
    },
  );
}
