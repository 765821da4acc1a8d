import type { FastifyInstance, FastifyRequest } from 'fastify';
import { sliceCommit } from '../../../catalog/slice-repository.js';
import { isCalyxError } from '../../../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../../../core/names.js';
import { describeRepository, lastCommit, sibling } from './describe-repository.js';
import { HubError } from './hub-error.js';
import { READ, type HubContent, type RepositoryParams, type RevisionParams } from './hub-content.js';
import { page } from './paging.js';
import { isTrue, queryOf } from './query-values.js';
import { findRepository, repositoryName, sliceOf } from './repository.js';

/** Models are described so many at a time. */
const PARALLEL = 16;

/**
 * Routes that tell which repositories there are, and what they are:
 *
 * - `/api/models`: models, by `search`, `author`, `limit`; slices are not listed
 * - `/api/models/ORG/NAME[/revision/REVISION]`: one of them with its files, with `blobs` in detail
 * - `/api/models/ORG/NAME/refs`
 * - `/api/models/ORG/NAME/commits/REVISION`: the one commit that it is
 * - `/api/models/ORG/NAME/auth-check`: 200 if it may be read
 */
export function modelRoutes(server: FastifyInstance, content: HubContent): void {
  server.get('/api/models', READ, async (request, reply) => {
    const { catalog } = content.view(request.grant);
    const query = queryOf(request);
    const matches = matching(await catalog.models(), query);
    const shown = page(matches, formatModelName, request, reply);
    const described: unknown[] = [];
    for (let next = 0; next < shown.length; next += PARALLEL) {
      const group = shown.slice(next, next + PARALLEL).map(async (model) => {
        try {
          const ref = (await catalog.refs(model)).get(DEFAULT_REF);
          return [describeRepository(model, ref?.revision)];
        } catch (error) {
          // A damaged record of one model must not hide the others.
          if (!isCalyxError(error, 'corrupt', 'unreadable', 'not-found')) throw error;
          return [];
        }
      });
      described.push(...(await Promise.all(group)).flat());
    }
    return described;
  });

  const describe = async (request: FastifyRequest, params: RevisionParams): Promise<unknown> => {
    const { org, name, revision } = params;
    const view = content.view(request.grant);
    const repository = await findRepository(view, await repositoryName(org, name), revision);
    const files = await repository.list();
    const blobs = isTrue(queryOf(request).get('blobs'));
    return {
      ...describeRepository(repository.name, repository.commit),
      siblings: files.map((file) => sibling(file, blobs)),
      usedStorage: files.reduce((sum, { size }) => sum + size, 0),
    };
  };
  server.get<{ Params: RepositoryParams }>('/api/models/:org/:name', READ, (request) =>
    describe(request, { ...request.params, revision: DEFAULT_REF }),
  );
  server.get<{ Params: RevisionParams }>('/api/models/:org/:name/revision/:revision', READ, (request) =>
    describe(request, request.params),
  );

  server.get<{ Params: RepositoryParams }>('/api/models/:org/:name/refs', READ, async (request) => {
    const view = content.view(request.grant);
    const name = await repositoryName(request.params.org, request.params.name);
    const slice = await sliceOf(view.catalog, name);
    const refs = await view.catalog.refs(slice?.model ?? name);
    if (refs.size === 0)
      throw new HubError('RepoNotFound', `the store has no model ${formatModelName(slice?.model ?? name)}`);
    const branches = [...refs].map(([ref, { revision }]) => ({
      name: ref,
      ref: `refs/heads/${ref}`,
      targetCommit: slice === undefined ? revision : sliceCommit(slice, revision),
    }));
    return { branches, converts: [], tags: [], pullRequests: [] };
  });

  server.get<{ Params: RevisionParams }>(
    '/api/models/:org/:name/commits/:revision',
    READ,
    async (request, reply) => {
      const { org, name, revision } = request.params;
      const view = content.view(request.grant);
      const { commit } = await findRepository(view, await repositoryName(org, name), revision);
      void reply.header('x-total-count', '1');
      return [{ ...lastCommit(commit), message: '', authors: [] }];
    },
  );

  server.get<{ Params: RepositoryParams }>('/api/models/:org/:name/auth-check', READ, async (request) => {
    const { org, name } = request.params;
    await findRepository(content.view(request.grant), await repositoryName(org, name), DEFAULT_REF);
    return {};
  });
}

/** The models that a query asks for, ascending by name. */
function matching(models: readonly ModelName[], query: URLSearchParams): ModelName[] {
  const search = (query.get('search') ?? '').toLowerCase();
  const author = query.get('author');
  return models
    .filter((model) => author === null || model.org === author)
    .filter((model) => formatModelName(model).toLowerCase().includes(search))
    .sort((a, b) => (formatModelName(a) < formatModelName(b) ? -1 : 1));
}
