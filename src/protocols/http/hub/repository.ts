import type { CatalogReader, ResolvedRevision } from '../../../catalog/catalog-reader.js';
import { walkTree, type Directory, type FileNode } from '../../../catalog/file-tree.js';
import {
  parseSliceRepository,
  sliceCommit,
  type SliceRepository,
} from '../../../catalog/slice-repository.js';
import { formatSliceSpec } from '../../../catalog/slice-spec.js';
import { CalyxError, isCalyxError } from '../../../core/errors.js';
import {
  DEFAULT_REF,
  formatModelName,
  isRevisionId,
  parseModelName,
  type ModelName,
} from '../../../core/names.js';
import { HubError, orNotFound } from './hub-error.js';
import { knownFile, sliceFile, type HubFile } from './hub-file.js';

/** What of a store a client of the Hub may see. */
export interface HubView {
  readonly catalog: CatalogReader;
  /** The views, from which the content of files comes. */
  readonly tree: Directory;
}

/** A model or a slice at one revision, as the Hub shows repositories. */
export interface Repository {
  readonly name: ModelName;
  /** 40 hex digits; pins what is seen. */
  readonly commit: string;
  /** All files, ascending by path. */
  list(): Promise<readonly HubFile[]>;
  /** The file at `path`, or undefined. */
  open(path: string): Promise<{ readonly file: HubFile; readonly content: FileNode } | undefined>;
}

/** How git calls what is meant if nothing is named. */
const HEAD = 'HEAD';

/**
 * The model or the slice `ORG/NAME` at a ref or a commit. A model that is called like a slice goes first.
 *
 * @throws HubError `RepoNotFound`, in the same words whether there is none or it is hidden, or `RevisionNotFound`
 */
export async function findRepository(view: HubView, name: ModelName, revision: string): Promise<Repository> {
  const wanted = revision === HEAD ? DEFAULT_REF : revision;
  const slice = await sliceOf(view.catalog, name);
  if (slice !== undefined) return findSlice(view, name, slice, wanted);
  return wholeModel(view, await resolve(view.catalog, name, wanted));
}

/** Reads the name of a repository; throws HubError `RepoNotFound` for what can be no name. */
export function repositoryName(org: string, name: string): Promise<ModelName> {
  return orNotFound('RepoNotFound', () => parseModelName(`${org}/${name}`));
}

/** The slice that a repository is; undefined for models. */
export async function sliceOf(catalog: CatalogReader, name: ModelName): Promise<SliceRepository | undefined> {
  const slice = parseSliceRepository(name);
  return slice === undefined || (await exists(catalog, name)) ? undefined : slice;
}

async function resolve(
  catalog: CatalogReader,
  model: ModelName,
  revision: string,
): Promise<ResolvedRevision> {
  try {
    return await catalog.resolve({ model, revision });
  } catch (error) {
    if (!isCalyxError(error, 'not-found')) throw error;
    const code = (await exists(catalog, model)) ? 'RevisionNotFound' : 'RepoNotFound';
    throw new HubError(code, error.message, { hint: error.hint, cause: error });
  }
}

async function exists(catalog: CatalogReader, model: ModelName): Promise<boolean> {
  return (await catalog.refs(model)).size > 0;
}

function wholeModel({ tree }: HubView, { model, revision, manifest }: ResolvedRevision): Repository {
  return {
    name: model,
    commit: revision,
    list: () => Promise.resolve(manifest.files.map(({ path, size, blob }) => knownFile(path, size, blob))),
    open: async (path) => {
      const found = manifest.file(path);
      if (found === undefined) return undefined;
      const place = ['models', model.org, `${model.name}@${revision}`, ...path.split('/')];
      const node = await walkTree(tree, place);
      return node?.kind === 'file'
        ? { file: knownFile(path, found.size, found.blob), content: node }
        : undefined;
    },
  };
}

/** A slice at a ref of its model, or at one of its own commits: which revision that means is found by trying all. */
async function findSlice(
  { catalog, tree }: HubView,
  name: ModelName,
  slice: SliceRepository,
  wanted: string,
): Promise<Repository> {
  const { model, spec } = slice;
  let found: ResolvedRevision;
  if (isRevisionId(wanted)) {
    const revisions = await catalog.revisions(model);
    const revision = revisions.find((each) => sliceCommit(slice, each) === wanted);
    found = await resolve(catalog, model, revision ?? DEFAULT_REF);
    if (revision === undefined) throw noSuchCommit(name, slice, wanted, revisions.includes(wanted));
  } else found = await resolve(catalog, model, wanted);
  const { manifest, revision } = found;
  const { blockCount } = manifest;
  const text = formatSliceSpec(spec);
  const directory = await walkTree(tree, ['slices', model.org, `${model.name}@${revision}`, text]);
  if (directory?.kind !== 'directory')
    throw new HubError(
      'RepoNotFound',
      `${formatModelName(model)} has no slice ${text}: it has ${blockCount} blocks`,
      { hint: `name some of the blocks 0-${blockCount}` },
    );
  const open: Repository['open'] = async (path) => {
    const node = await directory.lookup(path);
    return node?.kind === 'file' ? { file: sliceFile(path, node, manifest), content: node } : undefined;
  };
  return {
    name,
    commit: sliceCommit(slice, revision),
    list: async () => {
      const names = [...(await directory.list())].sort(byCodePoints);
      return Promise.all(
        names.map(async (path) => {
          const opened = await open(path);
          if (opened === undefined) throw new CalyxError('internal', `${path} of a slice is not there`);
          return opened.file;
        }),
      );
    },
    open,
  };
}

function noSuchCommit(name: ModelName, slice: SliceRepository, wanted: string, isOfModel: boolean): HubError {
  const text = formatModelName(name);
  return new HubError('RevisionNotFound', `the slice ${text} has no commit ${wanted}`, {
    hint: isOfModel
      ? `this is a revision of its model; that of the slice is ${sliceCommit(slice, wanted)}`
      : `without one, the ref '${DEFAULT_REF}' of the model is used`,
  });
}

function byCodePoints(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
