import type { FastifyInstance } from 'fastify';
import { z } from 'zod';
import { CalyxError } from '../core/errors.js';
import { formatModelName, isRevisionId, parseModelName } from '../core/names.js';
import { printableLine } from '../core/printable.js';
import { showsModel } from '../core/shown-models.js';
import type { NodeRecord, NodeRegistry } from './node-registry.js';

const MAX_NAME = 200;

/** More than any model has. */
const MAX_BLOCKS = 100_000;

const READ = { config: { access: 'read' } } as const;
const NODE = { config: { access: 'node' } } as const;

/** How a node describes itself over the wire. */
export const nodeRecordSchema = z.strictObject({
  id: z.uuid(),
  name: z.string().min(1).max(MAX_NAME).refine(isOneLine, 'it has characters that are not for printing'),
  url: z
    .url({ protocol: /^https?$/ })
    .max(MAX_NAME)
    .refine(isPlainAddress, 'not a plain address'),
  model: z.string().transform((text) => formatModelName(parseModelName(text))),
  revision: z.string().refine(isRevisionId, 'not a revision id'),
  blocks: z
    .strictObject({
      start: z.number().int().nonnegative(),
      end: z.number().int().positive().max(MAX_BLOCKS),
    })
    .refine(({ start, end }) => start < end, 'no block is in this range'),
  embed: z.boolean(),
  head: z.boolean(),
});

function isOneLine(text: string): boolean {
  return printableLine(text) === text;
}

/** Without user, password, query and fragment, none of which a node's address needs. */
function isPlainAddress(text: string): boolean {
  const { username, password, search, hash } = new URL(text);
  return username === '' && password === '' && search === '' && hash === '';
}

/** How a store lists its nodes. */
export const nodeListSchema = z.object({ nodes: z.array(nodeRecordSchema) });

/**
 * Routes by which nodes are found, as far as the grant of who asks shows their models:
 *
 * - `PUT /v1/nodes/ID`: a node says what it serves, and again before `lifetimeMs` have passed
 * - `DELETE /v1/nodes/ID`: it leaves
 * - `GET /v1/nodes[?model=ORG/NAME]`: those that are alive
 *
 * What one token has registered, another can neither change nor delete. A node of a model that a grant does not show is not there for it.
 */
export function nodeRoutes(server: FastifyInstance, registry: NodeRegistry): void {
  server.put<{ Params: { id: string } }>('/v1/nodes/:id', NODE, (request) => {
    const { grant } = request;
    const record = parse(request.body);
    if (record.id !== request.params.id)
      throw new CalyxError('usage', 'the id in the path is not that in the body');
    if (!showsModel(grant, parseModelName(record.model)))
      throw new CalyxError('not-found', `the store has no model ${record.model}`);
    registry.put(record, grant.tokenId);
    return { lifetimeMs: registry.lifetimeMs };
  });
  server.delete<{ Params: { id: string } }>('/v1/nodes/:id', NODE, (request) => {
    const { params, grant } = request;
    const known = registry.find(params.id);
    // What one does not see is not there.
    if (known === undefined || !showsModel(grant, parseModelName(known.model)))
      throw new CalyxError('not-found', `the store knows no node ${params.id.slice(0, 40)}`, {
        hint: 'it has left, or was forgotten when it fell silent',
      });
    registry.remove(params.id, grant.tokenId);
    return {};
  });
  server.get<{ Querystring: { model?: string } }>('/v1/nodes', READ, ({ grant, query }) => {
    const nodes = registry.list(query.model);
    return { nodes: nodes.filter(({ model }) => showsModel(grant, parseModelName(model))) };
  });
}

function parse(body: unknown): NodeRecord {
  const result = nodeRecordSchema.safeParse(body);
  if (result.success) return result.data;
  throw new CalyxError(
    'usage',
    `this does not describe a node: ${z.prettifyError(result.error).slice(0, 500)}`,
  );
}
