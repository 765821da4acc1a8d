import type { FastifyInstance } from 'fastify';
import { CalyxError } from '../../core/errors.js';
import { formatModelName, parseModelName } from '../../core/names.js';
import { showsModel } from '../../core/shown-models.js';
import type { StoreManager } from './manage.js';

/**
 * Routes by which a store is managed from other machines:
 *
 * - `DELETE /v1/models/ORG/NAME[?force=true]`: removes a model with all its revisions
 */
export function managementRoutes(server: FastifyInstance, manager: StoreManager): void {
  server.delete<{ Params: { org: string; name: string }; Querystring: { force?: string } }>(
    '/v1/models/:org/:name',
    { config: { access: 'admin' } },
    async ({ params: { org, name }, query, grant }) => {
      const model = parseModelName(`${org}/${name}`);
      // What one does not see is not there.
      if (!showsModel(grant, model))
        throw new CalyxError('not-found', `the store has no model ${formatModelName(model)}`);
      const { bytes } = await manager.remove(model, query.force === 'true');
      return { model: formatModelName(model), bytes };
    },
  );
}
