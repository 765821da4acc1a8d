import type { FastifyInstance } from 'fastify';
import { tellManagement } from '../../cluster/audit/tell-management.js';
import type { Decision } from '../../core/doorkeeper.js';
import { CalyxError } from '../../core/errors.js';
import { formatModelName, parseModelName } from '../../core/names.js';
import { showsModel } from '../../core/shown-models.js';
import type { StoreManager } from './manage.js';

/**
 * Routes by which a store is managed from other machines:
 *
 * - `DELETE /v1/models/ORG/NAME[?force=true]`: removes a model with all its revisions
 *
 * @param tell told of what is done; never throws, never waits
 */
export function managementRoutes(
  server: FastifyInstance,
  manager: Pick<StoreManager, 'publish' | 'remove'>,
  tell: (decision: Decision) => void,
): void {
  server.delete<{ Params: { org: string; name: string }; Querystring: { force?: string } }>(
    '/v1/models/:org/:name',
    { config: { access: 'admin' } },
    (request) => {
      const { params, query, grant } = request;
      const model = parseModelName(`${params.org}/${params.name}`);
      const subject = formatModelName(model);
      const run = async (): Promise<{ value: unknown; subject: string }> => {
        // What one does not see is not there.
        if (!showsModel(grant, model)) throw new CalyxError('not-found', `the store has no model ${subject}`);
        const { bytes } = await manager.remove(model, query.force === 'true');
        return { value: { model: subject, bytes }, subject };
      };
      return tellManagement(request, tell, { action: 'remove', subject, run });
    },
  );
}
