import { isCalyxError } from '../../core/errors.js';
import type { NfsReader, RemoteNode } from '../../protocols/nfs-client/nfs-reader.js';

/** A file by its path below the mounted directory, without a slash at its head. */
export interface SurveyedFile {
  readonly path: string;
  readonly node: RemoteNode;
}

/** What a tree offers for measuring. */
export interface Survey {
  /** Undefined if no file with bytes was found. */
  readonly largest: SurveyedFile | undefined;
  /** Some files, to ask for their attributes. */
  readonly some: readonly SurveyedFile[];
}

/** Enough for large stores; what is not seen is not measured. */
const MAX_ENTRIES = 20_000;
const MAX_DIRECTORIES = 1_000;
const MAX_MS = 5_000;
const SOME = 256;

/** Looks for the largest file, level by level, as far as bounds allow. */
export async function surveyTree(reader: NfsReader, signal: AbortSignal): Promise<Survey> {
  const deadline = performance.now() + MAX_MS;
  const waiting: SurveyedFile[] = [{ path: '', node: reader.root }];
  const some: SurveyedFile[] = [];
  let largest: SurveyedFile | undefined;
  let entries = 0;
  for (let index = 0; index < Math.min(waiting.length, MAX_DIRECTORIES); index += 1) {
    const directory = waiting[index];
    if (directory === undefined || entries >= MAX_ENTRIES || performance.now() > deadline) break;
    const found = await reader.list(directory.node, MAX_ENTRIES - entries, signal).catch((error: unknown) => {
      // A model that is removed meanwhile, or a directory that is not for us, is none to measure by.
      if (isCalyxError(error, 'changed', 'not-found', 'refused')) return [];
      throw error;
    });
    entries += found.length;
    for (const { name, node } of found) {
      const path = directory.path === '' ? name : `${directory.path}/${name}`;
      if (node?.kind === 'directory') waiting.push({ path, node });
      if (node?.kind !== 'file') continue;
      if (some.length < SOME) some.push({ path, node });
      if (node.size > (largest?.node.size ?? 0)) largest = { path, node };
    }
  }
  return { largest, some };
}
