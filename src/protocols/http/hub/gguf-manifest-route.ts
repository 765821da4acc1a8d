import type { FastifyInstance } from 'fastify';
import { DEFAULT_REF } from '../../../core/names.js';
import { sibling } from './describe-repository.js';
import { HubError } from './hub-error.js';
import type { HubFile } from './hub-file.js';
import { READ, type HubContent, type RepositoryParams } from './hub-content.js';
import { findRepository, repositoryName } from './repository.js';

/** What is meant if no quantisation is named, in this order; then whichever comes first. */
const USUAL = ['Q4_K_M', 'Q4_0', 'Q8_0'];
const LATEST = 'latest';

/** `/v2/ORG/NAME/manifests/TAG`: which GGUF file a quantisation means; llama.cpp and others of its kind ask for `-hf ORG/NAME:TAG`. */
export function ggufManifestRoute(server: FastifyInstance, content: HubContent): void {
  server.get<{ Params: RepositoryParams & { tag: string } }>(
    '/v2/:org/:name/manifests/:tag',
    READ,
    async (request) => {
      const { org, name, tag } = request.params;
      const view = content.view(request.grant);
      const repository = await findRepository(view, await repositoryName(org, name), DEFAULT_REF);
      const files = (await repository.list()).filter(({ path }) => /\.gguf$/i.test(path));
      const models = files.filter((file) => !isProjector(file) && !isLaterSplit(file));
      const tags = tag.toLowerCase() === LATEST ? USUAL : [tag];
      const named = tags.flatMap((each) => models.find(({ path }) => names(path, each)) ?? []);
      const found = named[0] ?? (tags === USUAL ? models[0] : undefined);
      if (found === undefined)
        throw new HubError('EntryNotFound', `${org}/${name} has no GGUF file for '${tag.slice(0, 100)}'`, {
          commit: repository.commit,
          hint:
            models.length === 0
              ? 'it has none at all'
              : `it has ${models.map(({ path }) => path).join(', ')}`,
        });
      const projector = files.find(isProjector);
      return {
        ggufFile: sibling(found, true),
        ...(projector !== undefined && { mmprojFile: sibling(projector, true) }),
      };
    },
  );
}

/** The second half of a model that sees; named so by convention. */
function isProjector({ path }: HubFile): boolean {
  return /mmproj/i.test(path);
}

/** Clients find the other pieces of a split file by the name of the first. */
function isLaterSplit({ path }: HubFile): boolean {
  return /-\d{5}-of-\d{5}\.gguf$/i.test(path) && !/-00001-of-\d{5}\.gguf$/i.test(path);
}

/** True if a path has this tag as a word of its own, in letters of any case. */
function names(path: string, tag: string): boolean {
  return path.toUpperCase().split(/[-./]/).includes(tag.toUpperCase());
}
