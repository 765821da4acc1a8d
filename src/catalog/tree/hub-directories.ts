import type { ModelName } from '../../core/names.js';
import type { CatalogReader, ResolvedRevision } from '../catalog-reader.js';
import type { Directory, FileNode } from '../file-tree.js';
import { changingDirectory, fixedDirectory } from './directories.js';
import { nameKey } from './handle.js';

/** `models--ORG--NAME` and the two directories in it. */
export type HubKind = 'hub-model' | 'hub-refs' | 'hub-snapshots';

/** What the directories of `hub/` are made of. */
export interface HubParts {
  readonly catalog: CatalogReader;
  /** `hub/` itself. */
  above(): Directory | undefined;
  resolve(model: ModelName, revision: string): Promise<ResolvedRevision | undefined>;
  snapshot(revision: ResolvedRevision): Directory;
  /** The file that names a revision. */
  ref(revision: ResolvedRevision): FileNode;
}

/** `hub/models--ORG--NAME/{refs,snapshots}`: the Hugging Face cache layout with regular files. */
export function hubDirectory(kind: HubKind, model: ModelName, parts: HubParts): Directory {
  const name = { kind, model: nameKey(model) };
  const { catalog } = parts;
  if (kind === 'hub-model')
    return fixedDirectory(name, {
      names: () => ['refs', 'snapshots'],
      lookup: (entry) =>
        entry === 'refs' || entry === 'snapshots' ? hubDirectory(`hub-${entry}`, model, parts) : undefined,
      parent: () => parts.above(),
    });
  const parent = (): Directory => hubDirectory('hub-model', model, parts);
  if (kind === 'hub-snapshots')
    return changingDirectory(name, {
      names: () => catalog.revisions(model),
      lookup: async (entry) => {
        const known = (await catalog.revisions(model)).includes(entry);
        const revision = known ? await parts.resolve(model, entry) : undefined;
        return revision && parts.snapshot(revision);
      },
      parent,
    });
  return changingDirectory(name, {
    names: async () => [...(await catalog.refs(model)).keys()],
    lines: async () => [...(await catalog.refs(model))].map(([ref, { revision }]) => `${ref} ${revision}`),
    lookup: async (entry): Promise<FileNode | undefined> => {
      const ref = (await catalog.refs(model)).get(entry);
      const revision = ref && (await parts.resolve(model, ref.revision));
      return revision && parts.ref(revision);
    },
    parent,
  });
}
