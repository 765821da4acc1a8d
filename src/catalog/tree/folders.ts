import type { Manifest } from '../manifest.js';

/** An entry of a directory inside a revision. */
export type FolderEntry =
  { readonly kind: 'file'; readonly file: number } | { readonly kind: 'folder'; readonly folder: Folder };

/** A directory inside a revision. */
export interface Folder {
  /** The ordinal of the first file below it. */
  readonly file: number;
  /** How many levels it lies below the revision; the revision itself is 0. */
  readonly depth: number;
  /** By name, in the order of the manifest. */
  readonly entries: ReadonlyMap<string, FolderEntry>;
  readonly parent: Folder | undefined;
}

interface OpenFolder extends Folder {
  readonly entries: Map<string, FolderEntry>;
}

const trees = new WeakMap<Manifest, Folder>();

/** The directories that the paths of a revision's files make; made once for a manifest. */
export function foldersOf(manifest: Manifest): Folder {
  let root = trees.get(manifest);
  if (root === undefined) {
    root = layOut(manifest);
    trees.set(manifest, root);
  }
  return root;
}

/** The directory that lies `depth` levels above a file whose ordinal is the first in it, or undefined. */
export function findFolder(manifest: Manifest, file: number, depth: number): Folder | undefined {
  const names = manifest.files[file]?.path.split('/').slice(0, -1) ?? [];
  if (depth < 1 || depth > names.length) return undefined;
  let folder = foldersOf(manifest);
  for (const name of names.slice(0, depth)) {
    const entry = folder.entries.get(name);
    if (entry?.kind !== 'folder') return undefined;
    ({ folder } = entry);
  }
  return folder.file === file ? folder : undefined;
}

function layOut(manifest: Manifest): Folder {
  const root: OpenFolder = { file: 0, depth: 0, entries: new Map(), parent: undefined };
  const open = new Map<string, OpenFolder>();
  manifest.files.forEach(({ path }, file) => {
    const names = path.split('/');
    let folder = root;
    for (let depth = 1; depth < names.length; depth += 1) {
      const key = names.slice(0, depth).join('/');
      let below = open.get(key);
      if (below === undefined) {
        below = { file, depth, entries: new Map(), parent: folder };
        open.set(key, below);
        folder.entries.set(names[depth - 1] ?? '', { kind: 'folder', folder: below });
      }
      folder = below;
    }
    folder.entries.set(names.at(-1) ?? '', { kind: 'file', file });
  });
  return root;
}
