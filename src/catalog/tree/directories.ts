import type { Directory, NodeVersion, TreeNode } from '../file-tree.js';
import type { NodeName } from './handle.js';
import { identify, versionOfLines } from './node-identity.js';

type Lookup = (name: string) => TreeNode | undefined | Promise<TreeNode | undefined>;
type Parent = () => Directory | undefined | Promise<Directory | undefined>;

/** A directory whose entries are always the same. */
export function fixedDirectory(
  name: NodeName,
  about: { readonly names: () => readonly string[]; readonly lookup: Lookup; readonly parent: Parent },
): Directory {
  const { handle, fileId, fixed } = identify(name);
  return {
    kind: 'directory',
    handle,
    fileId,
    version: () => fixed,
    lookup: async (entry) => about.lookup(entry),
    list: () => Promise.resolve(about.names()),
    parent: async () => about.parent(),
  };
}

/** A directory whose entries come and go; `lines` say all that it shows, by default its names. */
export function changingDirectory(
  name: NodeName,
  about: {
    readonly names: () => Promise<readonly string[]>;
    readonly lines?: () => Promise<readonly string[]>;
    readonly version?: () => Promise<NodeVersion>;
    readonly lookup: Lookup;
    readonly parent: Parent;
  },
): Directory {
  const { handle, fileId } = identify(name);
  const lines = about.lines ?? about.names;
  return {
    kind: 'directory',
    handle,
    fileId,
    version: about.version ?? (async () => versionOfLines(await lines())),
    lookup: async (entry) => about.lookup(entry),
    list: about.names,
    parent: async () => about.parent(),
  };
}
