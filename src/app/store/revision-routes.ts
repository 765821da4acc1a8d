import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import type { Grant } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import {
  DEFAULT_REF,
  formatModelName,
  parseModelName,
  parseRevision,
  type ModelName,
} from '../../core/names.js';
import { showsModel } from '../../core/shown-models.js';
import { garbageRequestSchema, type RevisionManager } from './manage-revisions.js';

const ADMIN = { config: { access: 'admin' } } as const;

interface OfModel {
  readonly Params: { readonly org: string; readonly name: string };
}

interface OfName {
  readonly Params: OfModel['Params'] & { readonly called: string };
}

const revisionBody = z.strictObject({ revision: z.string() });

/**
 * Routes by which revisions are managed from other machines; all for admins, for whom a model that their grant does not show is not
 * there:
 *
 * - `GET /v1/models/ORG/NAME/revisions`: all of them, with what names and who uses them
 * - `PUT /v1/models/ORG/NAME/refs/main` `{revision}`: rolls back
 * - `PUT /v1/models/ORG/NAME/pins/PIN` `{revision}`, `DELETE /v1/models/ORG/NAME/pins/PIN`
 * - `POST /v1/gc` `{model?, keep?, dryRun?}`
 */
export function revisionRoutes(server: FastifyInstance, manager: RevisionManager): void {
  server.get<OfModel>('/v1/models/:org/:name/revisions', ADMIN, async ({ params, grant }) => ({
    revisions: await manager.revisions(shownModel(params, grant)),
  }));
  server.put<OfName>('/v1/models/:org/:name/refs/:called', ADMIN, async ({ params, grant, body }) => {
    const model = shownModel(params, grant);
    if (params.called !== DEFAULT_REF)
      throw new CalyxError('usage', `a model has no ref that can be moved but '${DEFAULT_REF}'`);
    const { ref, moved } = await manager.rollback({ model, revision: revisionOf(body) });
    return { model: formatModelName(model), revision: ref.revision, generation: ref.generation, moved };
  });
  server.put<OfName>('/v1/models/:org/:name/pins/:called', ADMIN, async ({ params, grant, body }) => {
    const model = shownModel(params, grant);
    const pinned = await manager.pin({ model, revision: revisionOf(body) }, params.called);
    return { model: formatModelName(model), ...pinned };
  });
  server.delete<OfName>('/v1/models/:org/:name/pins/:called', ADMIN, async ({ params, grant }) => {
    const model = shownModel(params, grant);
    return { model: formatModelName(model), ...(await manager.unpin(model, { name: params.called })) };
  });
  server.post('/v1/gc', ADMIN, ({ grant, body }) => {
    const request = garbageRequestSchema.safeParse(body ?? {});
    if (!request.success)
      throw new CalyxError('usage', `not what a collection is asked for: ${z.prettifyError(request.error)}`);
    const { model, ...rest } = request.data;
    return manager.collect({
      ...rest,
      shown: (one) => showsModel(grant, one),
      ...(model !== undefined && { model: parseModelName(model) }),
    });
  });
}

function shownModel({ org, name }: OfModel['Params'], grant: Grant): ModelName {
  const model = parseModelName(`${org}/${name}`);
  if (showsModel(grant, model)) return model;
  throw new CalyxError('not-found', `the store has no model ${formatModelName(model)}`);
}

function revisionOf(body: unknown): string {
  const parsed = revisionBody.safeParse(body);
  if (parsed.success) return parseRevision(parsed.data.revision);
  throw new CalyxError('usage', `say which revision: {"revision": "..."}`);
}
