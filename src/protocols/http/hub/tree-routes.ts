import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { CalyxError } from '../../../core/errors.js';
import { lastCommit } from './describe-repository.js';
import { READ, type HubContent, type RevisionParams } from './hub-content.js';
import { page } from './paging.js';
import { isTrue, queryOf } from './query-values.js';
import { findRepository, repositoryName, type Repository } from './repository.js';
import { noSuchEntry } from './resolve-route.js';
import { fileEntry, RepositoryTree, type TreeEntry } from './tree-entries.js';

/** Paths that one question may name; a body has at most 64 KiB. */
const MAX_PATHS = 2000;

const pathsSchema = z.object({
  paths: z.union([z.string().transform((path) => [path]), z.array(z.string()).max(MAX_PATHS)]),
  expand: z.union([z.boolean(), z.string().transform(isTrue)]).optional(),
});

/**
 * Routes that list files:
 *
 * - `/api/models/ORG/NAME/tree/REVISION[/PATH]`: a directory, with `recursive` and what is below; `expand` tells of commits
 * - `/api/models/ORG/NAME/paths-info/REVISION` (POST): the entries of `paths`, as JSON or as a form; what is not there is left out
 */
export function treeRoutes(server: FastifyInstance, content: HubContent): void {
  const find = async (
    request: FastifyRequest,
    { org, name, revision }: RevisionParams,
  ): Promise<Repository> =>
    findRepository(content.view(request.grant), await repositoryName(org, name), revision);

  const list = async (
    request: FastifyRequest<{ Params: RevisionParams & { '*'?: string } }>,
    reply: FastifyReply,
  ): Promise<unknown> => {
    const repository = await find(request, request.params);
    const query = queryOf(request);
    const path = (request.params['*'] ?? '').replace(/\/+$/, '');
    const tree = new RepositoryTree(await repository.list());
    const entries = tree.list(path, isTrue(query.get('recursive')));
    if (entries === undefined) throw noSuchEntry(repository, path);
    const shown = page(entries, (entry) => entry.path, request, reply);
    return expanded(shown, repository, isTrue(query.get('expand')));
  };
  server.get('/api/models/:org/:name/tree/:revision', READ, list);
  server.get('/api/models/:org/:name/tree/:revision/*', READ, list);

  server.post<{ Params: RevisionParams; Body: unknown }>(
    '/api/models/:org/:name/paths-info/:revision',
    READ,
    async (request) => {
      const asked = pathsSchema.safeParse(request.body);
      if (!asked.success)
        throw new CalyxError('usage', 'the question names no paths', {
          hint: `send {"paths": [...]} with at most ${MAX_PATHS} of them`,
        });
      const repository = await find(request, request.params);
      const { paths, expand = false } = asked.data;
      let tree: RepositoryTree | undefined;
      const entries: TreeEntry[] = [];
      for (const path of new Set(paths)) {
        const found = await repository.open(path);
        // To lay all out is needed for directories only.
        if (found === undefined) tree ??= new RepositoryTree(await repository.list());
        const entry = found === undefined ? tree?.directory(path) : fileEntry(found.file);
        if (entry !== undefined) entries.push(entry);
      }
      return expanded(entries, repository, expand);
    },
  );
}

function expanded(entries: readonly TreeEntry[], { commit }: Repository, expand: boolean): unknown {
  if (!expand) return entries;
  const last = lastCommit(commit);
  return entries.map((entry) => ({ ...entry, lastCommit: last }));
}
