import { isCalyxError } from '../../core/errors.js';
import {
  cacheFolder,
  DEFAULT_REF,
  isRevisionId,
  modelOfCacheFolder,
  type ModelName,
} from '../../core/names.js';
import type { CatalogReader, ResolvedRevision } from '../catalog-reader.js';
import type { Directory, FileTree, TreeNode } from '../file-tree.js';
import { formatSliceSpec, parseSliceSpec, type SliceSpec } from '../slice-spec.js';
import { changingDirectory, fixedDirectory } from './directories.js';
import { hubDirectory, type HubKind, type HubParts } from './hub-directories.js';
import { findFolder, foldersOf, type Folder } from './folders.js';
import {
  decodeHandle,
  mayBeRevision,
  nameKey,
  revisionKey,
  type NameKey,
  type NodeName,
  type RevisionName,
  type View,
} from './handle.js';
import { versionOfRef } from './node-identity.js';
import { keysOf, RevisionFiles } from './revision-files.js';

const VIEWS: readonly View[] = ['models', 'hub', 'slices'];

/** The three views of a catalog as one tree: `models/`, `hub/` and `slices/`. */
export function catalogTree(catalog: CatalogReader): FileTree {
  return new CatalogTree(catalog);
}

/** How a directory of a revision was reached; its handle and its parent tell. */
interface Way {
  readonly view: View;
  /** Through the ref, rather than by the id of the revision. */
  readonly followed: boolean;
}

class CatalogTree implements FileTree {
  readonly root: Directory;
  readonly #catalog: CatalogReader;
  readonly #files = new RevisionFiles();
  readonly #models = new WeakMap<readonly ModelName[], ReadonlyMap<NameKey, ModelName>>();

  readonly #hub: HubParts;

  constructor(catalog: CatalogReader) {
    this.#catalog = catalog;
    this.#hub = {
      catalog,
      above: () => this.#view('hub'),
      resolve: (model, revision) => this.#resolve(model, revision),
      snapshot: (revision) => this.#pinned('hub', revision),
      ref: (revision) => this.#files.ref(revision),
    };
    this.root = fixedDirectory(
      { kind: 'root' },
      {
        names: () => VIEWS,
        lookup: (name) => this.#view(name),
        parent: () => this.root,
      },
    );
  }

  async find(handle: Uint8Array): Promise<TreeNode | undefined> {
    const name = decodeHandle(handle);
    switch (name.kind) {
      case 'root':
        return this.root;
      case 'view':
        return this.#view(name.view);
      case 'organisation': {
        const models = await this.#catalog.models();
        const org = models.find((model) => nameKey(model.org) === name.organisation)?.org;
        return org === undefined || name.view === 'hub' ? undefined : this.#organisation(name.view, org);
      }
      case 'current': {
        const model = await this.#modelOf(name.model);
        return model && name.view !== 'hub' ? this.#current(name.view, model) : undefined;
      }
      case 'hub-model':
      case 'hub-refs':
      case 'hub-snapshots': {
        const model = await this.#modelOf(name.model);
        return model && this.#hubDirectory(name.kind, model);
      }
      default: {
        const revision = await this.#revisionOf(name);
        return revision && this.#inRevision(revision, name);
      }
    }
  }

  #inRevision(revision: ResolvedRevision, name: Extract<NodeName, RevisionName>): TreeNode | undefined {
    const { blockCount } = revision.manifest;
    // Numbers in a handle may be anything.
    const spec = 'spec' in name ? parseSliceSpec(formatSliceSpec(name.spec), blockCount) : undefined;
    switch (name.kind) {
      case 'file':
        return this.#files.file(revision, name.file);
      case 'part':
        return this.#files.part(revision, name.part);
      case 'pinned':
        return this.#pinned(name.view, revision);
      case 'folder': {
        const folder = findFolder(revision.manifest, name.file, name.depth);
        return folder && name.view !== 'slices' ? this.#folder(revision, name, folder) : undefined;
      }
      case 'slice':
        return spec && this.#slice(revision, name.followed, spec);
      case 'slice-index':
      case 'slice-about':
        return spec && this.#files.aboutSlice(revision, name.kind, spec);
      case 'hub-ref':
        return this.#files.ref(revision);
    }
  }

  #view(name: string): Directory | undefined {
    const view = VIEWS.find((each) => each === name);
    if (view === undefined) return undefined;
    const models = (): Promise<readonly ModelName[]> => this.#catalog.models();
    return changingDirectory(
      { kind: 'view', view },
      {
        names: async () =>
          view === 'hub' ? (await models()).map(cacheFolder) : unique((await models()).map(({ org }) => org)),
        lookup: async (entry) => {
          if (view === 'hub') {
            const model = modelOfCacheFolder(entry);
            return model && (await this.#isModel(model)) ? this.#hubDirectory('hub-model', model) : undefined;
          }
          return (await models()).some(({ org }) => org === entry)
            ? this.#organisation(view, entry)
            : undefined;
        },
        parent: () => this.root,
      },
    );
  }

  /** `models/ORG` or `slices/ORG`: `NAME` and `NAME@REVISION` of each model. */
  #organisation(view: 'models' | 'slices', org: string): Directory {
    // Asked again at each question, so that who keeps this directory sees what is published later.
    const known = async (): Promise<ModelName[]> =>
      (await this.#catalog.models()).filter((model) => model.org === org);
    return changingDirectory(
      { kind: 'organisation', view, organisation: nameKey(org) },
      {
        names: async () => {
          const names = (await known()).map(async (model) => [
            model.name,
            ...(await this.#catalog.revisions(model)).map((revision) => `${model.name}@${revision}`),
          ]);
          return (await Promise.all(names)).flat();
        },
        lookup: async (entry) => {
          const [name, revision, ...rest] = entry.split('@');
          const model = (await known()).find((each) => each.name === name);
          if (model === undefined || rest.length > 0) return undefined;
          if (revision === undefined) return this.#current(view, model);
          // Only an id pins; `@main` would move.
          const found = isRevisionId(revision) ? await this.#resolve(model, revision) : undefined;
          return found && this.#pinned(view, found);
        },
        parent: () => this.#view(view),
      },
    );
  }

  /** `NAME`: what the ref names at the moment of each question. Undefined if the model has no such ref. */
  async #current(view: 'models' | 'slices', model: ModelName): Promise<Directory | undefined> {
    if ((await this.#resolve(model, DEFAULT_REF)) === undefined) return undefined;
    const way: Way = { view, followed: true };
    return changingDirectory(
      { kind: 'current', view, model: nameKey(model) },
      {
        names: async () => {
          const revision = await this.#resolve(model, DEFAULT_REF);
          return revision === undefined ? [] : this.#names(revision, way);
        },
        version: async () => {
          const ref = (await this.#catalog.refs(model)).get(DEFAULT_REF);
          return versionOfRef(ref?.generation ?? 0, ref?.revision ?? '0');
        },
        lookup: async (entry) => {
          const revision = await this.#resolve(model, DEFAULT_REF);
          return revision && this.#lookup(revision, way, entry);
        },
        parent: () => this.#organisation(view, model.org),
      },
    );
  }

  /** `NAME@REVISION`, or a snapshot. */
  #pinned(view: View, revision: ResolvedRevision): Directory {
    const way: Way = { view, followed: false };
    const { model } = revision;
    return fixedDirectory(
      { kind: 'pinned', view, ...keysOf(revision) },
      {
        names: () => this.#names(revision, way),
        lookup: (entry) => this.#lookup(revision, way, entry),
        parent: () =>
          view === 'hub' ? this.#hubDirectory('hub-snapshots', model) : this.#organisation(view, model.org),
      },
    );
  }

  /** What the directory of a revision lists. */
  #names(revision: ResolvedRevision, { view }: Way): string[] {
    if (view !== 'slices') return [...foldersOf(revision.manifest).entries.keys()];
    const { blockCount } = revision.manifest;
    const single = Array.from({ length: blockCount }, (_, block) => ({ start: block, end: block + 1 }));
    const whole = { blocks: { start: 0, end: blockCount }, embed: true, head: true };
    return [
      ...single.map((blocks) => formatSliceSpec({ blocks, embed: false, head: false })),
      formatSliceSpec(whole),
    ];
  }

  #lookup(revision: ResolvedRevision, way: Way, entry: string): TreeNode | undefined {
    if (way.view !== 'slices') return this.#inFolder(revision, way, foldersOf(revision.manifest), entry);
    const spec = parseSliceSpec(entry, revision.manifest.blockCount);
    return spec && this.#slice(revision, way.followed, spec);
  }

  #inFolder(revision: ResolvedRevision, way: Way, folder: Folder, name: string): TreeNode | undefined {
    const entry = folder.entries.get(name);
    if (entry?.kind === 'file') return this.#files.file(revision, entry.file);
    return entry && this.#folder(revision, way, entry.folder);
  }

  #folder(revision: ResolvedRevision, { view, followed }: Way, folder: Folder): Directory {
    const way: Way = { view, followed };
    const { file, depth, parent } = folder;
    return fixedDirectory(
      { kind: 'folder', view, followed, file, depth, ...keysOf(revision) },
      {
        names: () => [...folder.entries.keys()],
        lookup: (entry) => this.#inFolder(revision, way, folder, entry),
        parent: () =>
          parent !== undefined && parent.depth > 0
            ? this.#folder(revision, way, parent)
            : this.#above(revision, way),
      },
    );
  }

  #slice(revision: ResolvedRevision, followed: boolean, spec: SliceSpec): Directory {
    return fixedDirectory(
      { kind: 'slice', followed, spec, ...keysOf(revision) },
      {
        names: () => this.#files.sliceNames(revision, spec),
        lookup: (entry) => this.#files.sliceFile(revision, spec, entry),
        parent: () => this.#above(revision, { view: 'slices', followed }),
      },
    );
  }

  /** The directory of the revision, by the way on which something in it was reached. */
  #above(revision: ResolvedRevision, { view, followed }: Way): Directory | Promise<Directory | undefined> {
    return followed && view !== 'hub' ? this.#current(view, revision.model) : this.#pinned(view, revision);
  }

  #hubDirectory(kind: HubKind, model: ModelName): Directory {
    return hubDirectory(kind, model, this.#hub);
  }

  async #isModel(model: ModelName): Promise<boolean> {
    return (await this.#catalog.refs(model)).size > 0;
  }

  async #modelOf(key: NameKey): Promise<ModelName | undefined> {
    const models = await this.#catalog.models();
    let byKey = this.#models.get(models);
    if (byKey === undefined) {
      byKey = new Map(models.map((model) => [nameKey(model), model]));
      this.#models.set(models, byKey);
    }
    return byKey.get(key);
  }

  /** The revision that a handle names, if it is here and its manifest is the one that the handle was made from. */
  async #revisionOf(name: RevisionName): Promise<ResolvedRevision | undefined> {
    const model = await this.#modelOf(name.model);
    if (model === undefined) return undefined;
    for (const id of await this.#catalog.revisions(model)) {
      if (!mayBeRevision(name.revision, id)) continue;
      const revision = await this.#resolve(model, id);
      if (revision !== undefined && revisionKey(revision) === name.revision) return revision;
    }
    return undefined;
  }

  async #resolve(model: ModelName, revision: string): Promise<ResolvedRevision | undefined> {
    try {
      return await this.#catalog.resolve({ model, revision });
    } catch (error) {
      if (isCalyxError(error, 'not-found')) return undefined;
      throw error;
    }
  }
}

function unique(names: readonly string[]): string[] {
  return [...new Set(names)];
}
