import type { FastifyInstance, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { GarbageReport } from '../../catalog/gc/collect-garbage.js';
import { tellManagement } from '../../cluster/audit/tell-management.js';
import type { Grant } from '../../core/access.js';
import type { Decision } from '../../core/doorkeeper.js';
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
 *
 * @param tell told of what is done; never throws, never waits
 */
export function revisionRoutes(
  server: FastifyInstance,
  manager: RevisionManager,
  tell: (decision: Decision) => void,
): void {
  /** Does something to a model that who asks may see, and tells the audit. */
  const change = <T extends object>(
    request: FastifyRequest<OfName>,
    action: string,
    run: (model: ModelName) => Promise<T>,
  ): Promise<{ model: string } & T> => {
    const { org, name } = request.params;
    const subject = `${org}/${name}`;
    return tellManagement(request, tell, {
      action,
      subject,
      run: async () => {
        const done = await run(shownModel(request.params, request.grant));
        return { value: { model: subject, ...done }, subject };
      },
    });
  };
  server.get<OfModel>('/v1/models/:org/:name/revisions', ADMIN, async ({ params, grant }) => ({
    revisions: await manager.revisions(shownModel(params, grant)),
  }));
  server.put<OfName>('/v1/models/:org/:name/refs/:called', ADMIN, (request) =>
    change(request, 'rollback', async (model) => {
      if (request.params.called !== DEFAULT_REF)
        throw new CalyxError('usage', `a model has no ref that can be moved but '${DEFAULT_REF}'`);
      const { ref, moved } = await manager.rollback({ model, revision: revisionOf(request.body) });
      return { revision: ref.revision, generation: ref.generation, moved };
    }),
  );
  server.put<OfName>('/v1/models/:org/:name/pins/:called', ADMIN, (request) =>
    change(request, 'pin', (model) =>
      manager.pin({ model, revision: revisionOf(request.body) }, request.params.called),
    ),
  );
  server.delete<OfName>('/v1/models/:org/:name/pins/:called', ADMIN, (request) =>
    change(request, 'unpin', (model) => manager.unpin(model, { name: request.params.called })),
  );
  server.post('/v1/gc', ADMIN, (request) => {
    const parsed = garbageRequestSchema.safeParse(request.body ?? {});
    if (!parsed.success)
      throw new CalyxError('usage', `not what a collection is asked for: ${z.prettifyError(parsed.error)}`);
    const { model, ...rest } = parsed.data;
    const subject = model ?? request.grant.models;
    const run = async (): Promise<{ value: GarbageReport; subject: string }> => {
      const value = await manager.collect({
        ...rest,
        shown: (one) => showsModel(request.grant, one),
        ...(model !== undefined && { model: parseModelName(model) }),
      });
      return { value, subject };
    };
    return tellManagement(request, tell, { action: 'gc', subject, run });
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
