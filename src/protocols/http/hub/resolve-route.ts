import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isRevisionId } from '../../../core/names.js';
import { IMMUTABLE, sendFile } from '../send-file.js';
import { HubError } from './hub-error.js';
import { READ, type HubContent, type RevisionParams } from './hub-content.js';
import { findRepository, repositoryName, type Repository } from './repository.js';

type FileRequest = FastifyRequest<{ Params: RevisionParams & { '*': string } }>;

/**
 * `/ORG/NAME/resolve/REVISION/PATH`: the files themselves, also by HEAD. The same under `raw`, where the Hub has what git stores:
 * clients only ask there whether a file exists, or want its text.
 */
export function resolveRoute(server: FastifyInstance, content: HubContent): void {
  const answer = async (request: FileRequest, reply: FastifyReply): Promise<void> => {
    const { org, name, revision, '*': path } = request.params;
    const view = content.view(request.grant);
    const repository = await findRepository(view, await repositoryName(org, name), revision);
    const found = await repository.open(path);
    if (found === undefined) throw noSuchEntry(repository, path);
    const tag = `"${found.file.identity}"`;
    await sendFile(request, reply, found.content, content, {
      tag,
      type: 'application/octet-stream',
      cache: isRevisionId(revision) ? IMMUTABLE : 'no-cache',
      headers: {
        'x-repo-commit': repository.commit,
        // The Hub sends them with the redirection to a file's content; some clients ask for nothing else.
        'x-linked-etag': tag,
        'x-linked-size': found.file.size,
        'content-disposition': disposition(path),
      },
    });
  };
  server.get('/:org/:name/resolve/:revision/*', READ, answer);
  server.get('/:org/:name/raw/:revision/*', READ, answer);
  server.get<{ Params: { name: string } }>('/:name/resolve/:revision/*', READ, ({ params: { name } }) => {
    throw withoutOrganisation(name);
  });
}

/** The Hub has repositories of old that belong to nobody, such as gpt2; a store has none. */
export function withoutOrganisation(name: string): HubError {
  return new HubError('RepoNotFound', `the store has no model ${name.slice(0, 200)}`, {
    hint: 'its models are called ORG/NAME',
  });
}

/** The error for a path that a repository does not have. */
export function noSuchEntry({ name: { org, name }, commit }: Repository, path: string): HubError {
  return new HubError('EntryNotFound', `${org}/${name}@${commit} has no ${path.slice(0, 200)}`, { commit });
}

/** The name under which a file is to be kept (RFC 6266), for clients old and new. */
function disposition(path: string): string {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `inline; filename*=UTF-8''${encoded}; filename="${name.replace(/[^\x20-\x7e]|["\\]/g, '_')}";`;
}
