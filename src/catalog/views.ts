import {
  cacheFolder,
  formatModelName,
  modelOfCacheFolder,
  type ModelName,
  isRevisionId,
} from '../core/names.js';
import { isCalyxError } from '../core/errors.js';
import type { CatalogReader, ResolvedRevision } from './catalog-reader.js';
import { literalFile, staticDirectory, type Directory, type TreeNode } from './file-tree.js';
import type { ManifestFile } from './manifest.js';
import { formatSliceSpec, parseSliceSpec, partsOfSlice, type SliceSpec } from './slice-spec.js';
import { sliceFiles, wholeFile } from './slice.js';

/** The three views of a catalog, as one tree: `models/`, `hub/` and `slices/`. */
export function catalogTree(catalog: CatalogReader): Directory {
  return staticDirectory(
    new Map([
      ['models', modelsView(catalog)],
      ['hub', hubView(catalog)],
      ['slices', slicesView(catalog)],
    ]),
  );
}

/** `models/ORG/NAME[@REVISION]/...`: the files of a revision, plain. */
export function modelsView(catalog: CatalogReader): Directory {
  return byModel(catalog, ({ manifest }) => fileTree(manifest.files));
}

/** `slices/ORG/NAME[@REVISION]/4-8[+embed][+head]/...`: every slice can be looked up, a few are listed. */
export function slicesView(catalog: CatalogReader): Directory {
  const slices = new RecentSlices();
  return byModel(catalog, (revision) => {
    const { blockCount } = revision.manifest;
    return {
      kind: 'directory',
      lookup: (name) => {
        const spec = parseSliceSpec(name, blockCount);
        return Promise.resolve(spec && slices.directory(revision, spec));
      },
      list: () => {
        const single = Array.from({ length: blockCount }, (_, block) => ({ start: block, end: block + 1 }));
        const whole = { blocks: { start: 0, end: blockCount }, embed: true, head: true };
        return Promise.resolve([
          ...single.map((blocks) => formatSliceSpec({ blocks, embed: false, head: false })),
          formatSliceSpec(whole),
        ]);
      },
    };
  });
}

/** Slices whose files are kept: laying one out and encoding its headers takes long for a large model. */
const KEPT_SLICES = 8;

/** Lays out slices, and keeps those used last. */
class RecentSlices {
  readonly #slices = new Map<string, Directory>();

  directory(revision: ResolvedRevision, spec: SliceSpec): Directory {
    // The manifest decides the parts, the name and revision stand in slice.json.
    const key = [
      revision.manifestDigest,
      formatModelName(revision.model),
      revision.revision,
      formatSliceSpec(spec),
    ].join(' ');
    const slice =
      this.#slices.get(key) ??
      staticDirectory(sliceFiles(revision, partsOfSlice(spec, revision.manifest.blockCount)));
    this.#slices.delete(key);
    this.#slices.set(key, slice);
    const [oldest] = this.#slices.keys();
    if (this.#slices.size > KEPT_SLICES && oldest !== undefined) this.#slices.delete(oldest);
    return slice;
  }
}

/** `hub/models--ORG--NAME/{refs,snapshots}`: the Hugging Face cache layout with regular files. */
export function hubView(catalog: CatalogReader): Directory {
  return {
    kind: 'directory',
    lookup: async (folder) => {
      const model = modelOfCacheFolder(folder);
      if (model === undefined) return undefined;
      if ((await catalog.refs(model)).size === 0) return undefined;
      const refs: Directory = {
        kind: 'directory',
        lookup: async (name) => {
          const ref = (await catalog.refs(model)).get(name);
          return ref && literalFile(ref.revision);
        },
        list: async () => [...(await catalog.refs(model)).keys()],
      };
      const snapshots: Directory = {
        kind: 'directory',
        lookup: async (name) => {
          const revision = (await catalog.revisions(model)).includes(name)
            ? await find(catalog, model, name)
            : undefined;
          return revision && fileTree(revision.manifest.files);
        },
        list: () => catalog.revisions(model),
      };
      return staticDirectory(
        new Map<string, TreeNode>([
          ['refs', refs],
          ['snapshots', snapshots],
        ]),
      );
    },
    list: async () => (await catalog.models()).map(cacheFolder),
  };
}

/** `ORG/NAME[@REVISION]`; `NAME` alone follows the ref at each lookup. */
function byModel(catalog: CatalogReader, show: (revision: ResolvedRevision) => Directory): Directory {
  return {
    kind: 'directory',
    lookup: async (org) => {
      // Asked again at each question, so that who keeps this directory sees what is published later.
      const known = async (): Promise<ModelName[]> =>
        (await catalog.models()).filter((model) => model.org === org);
      if ((await known()).length === 0) return undefined;
      return {
        kind: 'directory',
        lookup: async (entry) => {
          const [name, revision, ...rest] = entry.split('@');
          const model = (await known()).find((each) => each.name === name);
          // Only an id pins; `@main` would move.
          const pinned = revision === undefined || isRevisionId(revision);
          if (model === undefined || rest.length > 0 || !pinned) return undefined;
          const found = await find(catalog, model, revision ?? 'main');
          return found && show(found);
        },
        list: async () => {
          const names = (await known()).map(async (model) => [
            model.name,
            ...(await catalog.revisions(model)).map((revision) => `${model.name}@${revision}`),
          ]);
          return (await Promise.all(names)).flat();
        },
      };
    },
    list: async () => [...new Set((await catalog.models()).map((model) => model.org))],
  };
}

async function find(
  catalog: CatalogReader,
  model: ModelName,
  revision: string,
): Promise<ResolvedRevision | undefined> {
  try {
    return await catalog.resolve({ model, revision });
  } catch (error) {
    if (isCalyxError(error, 'not-found')) return undefined;
    throw error;
  }
}

/** The files of a revision, in directories as their paths say. */
function fileTree(files: readonly ManifestFile[], prefix = ''): Directory {
  const entries = new Map<string, TreeNode>();
  for (const file of files) {
    if (!file.path.startsWith(prefix)) continue;
    const [name = '', ...rest] = file.path.slice(prefix.length).split('/');
    if (rest.length === 0) entries.set(name, wholeFile(file));
    else if (!entries.has(name)) entries.set(name, fileTree(files, `${prefix}${name}/`));
  }
  return staticDirectory(entries);
}
