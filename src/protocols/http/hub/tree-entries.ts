import { gitInfo, type HubFile, type LfsInfo } from './hub-file.js';
import { gitTreeId, type GitEntry } from './git-objects.js';

/** An entry of a listing of the Hub. */
export interface TreeEntry {
  readonly type: 'file' | 'directory';
  /** Of git. */
  readonly oid: string;
  /** Bytes; 0 for directories. */
  readonly size: number;
  readonly path: string;
  readonly lfs?: LfsInfo;
}

/** The entry of one file. */
export function fileEntry(file: HubFile): TreeEntry {
  const { oid, lfs } = gitInfo(file);
  const { size, path } = file;
  return { type: 'file', oid, size, path, ...(lfs !== undefined && { lfs }) };
}

/** Files and directories of a repository, with what is directly in each directory. */
export class RepositoryTree {
  readonly #directories = new Map<string, TreeEntry[]>([['', []]]);
  readonly #oids = new Map<string, string>();

  constructor(files: readonly HubFile[]) {
    for (const file of files) this.#enter(fileEntry(file));
  }

  /** The entries of a directory ('' is the repository), with `recursive` also of those below, ascending by path; or undefined. */
  list(directory: string, recursive: boolean): TreeEntry[] | undefined {
    const own = this.#directories.get(directory);
    if (own === undefined) return undefined;
    const entries = own.map((entry) => this.#finish(entry));
    const all = recursive ? entries.flatMap((entry) => [entry, ...this.#below(entry)]) : entries;
    return all.sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** The entry of a directory, or undefined. */
  directory(path: string): TreeEntry | undefined {
    if (path === '' || !this.#directories.has(path)) return undefined;
    return this.#finish(directoryEntry(path));
  }

  #below(entry: TreeEntry): TreeEntry[] {
    return entry.type === 'directory' ? (this.list(entry.path, true) ?? []) : [];
  }

  #enter(entry: TreeEntry): void {
    const above = entry.path.slice(0, Math.max(entry.path.lastIndexOf('/'), 0));
    const known = this.#directories.get(above);
    if (known !== undefined) {
      known.push(entry);
      return;
    }
    this.#directories.set(above, [entry]);
    this.#enter(directoryEntry(above));
  }

  #finish(entry: TreeEntry): TreeEntry {
    return entry.type === 'file' ? entry : { ...entry, oid: this.#treeId(entry.path) };
  }

  #treeId(path: string): string {
    let oid = this.#oids.get(path);
    if (oid === undefined) {
      const entries = (this.#directories.get(path) ?? []).map((entry): GitEntry => {
        const directory = entry.type === 'directory';
        const name = entry.path.slice(path.length + 1);
        return { name, directory, id: directory ? this.#treeId(entry.path) : entry.oid };
      });
      oid = gitTreeId(entries);
      this.#oids.set(path, oid);
    }
    return oid;
  }
}

function directoryEntry(path: string): TreeEntry {
  return { type: 'directory', oid: '', size: 0, path };
}
