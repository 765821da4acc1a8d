import { versionOfLines } from '../../../catalog/tree/node-identity.js';
import { formatModelName, type ModelName } from '../../../core/names.js';
import { gitInfo, type HubFile } from './hub-file.js';

/** What the Hub says of every repository, and what it would not know of one of ours. */
export function describeRepository(name: ModelName, commit: string | undefined): Record<string, unknown> {
  const id = formatModelName(name);
  return {
    _id: id,
    id,
    modelId: id,
    author: name.org,
    ...(commit !== undefined && { sha: commit, lastModified: dateOf(commit), createdAt: dateOf(commit) }),
    private: false,
    gated: false,
    disabled: false,
    downloads: 0,
    likes: 0,
    tags: [],
  };
}

/** A date for what knows none: the same on every replica, made from the commit as the views make the times of files. */
export function dateOf(commit: string): string {
  return new Date(versionOfLines([commit]).time.seconds * 1000).toISOString();
}

/** A file in the description of a repository; `blobs` with what git and Git LFS say of it. */
export function sibling(file: HubFile, blobs: boolean): Record<string, unknown> {
  if (!blobs) return { rfilename: file.path };
  const { oid, lfs } = gitInfo(file);
  const { size } = file;
  const pointer = lfs && { size, sha256: lfs.oid, pointerSize: lfs.pointerSize };
  return { rfilename: file.path, size, blobId: oid, ...(pointer !== undefined && { lfs: pointer }) };
}

/** The last change of a file, for those who ask for it: there is one commit. */
export function lastCommit(commit: string): Record<string, unknown> {
  return { id: commit, title: 'Published', date: dateOf(commit) };
}
