import { fileFilter, type FilePatterns } from '../../catalog/ingest/path-pattern.js';
import { readSource } from '../../catalog/ingest/stage-model.js';
import type { ModelName } from '../../core/names.js';
import type { RemoteModel } from '../../storage/remote/remote-model.js';
import { planRemote } from './add-remote.js';

/** A file of a model that would be added. */
export interface PlannedFile {
  readonly path: string;
  readonly bytes: number;
  /** What would be moved of it: less than all if the store has it, or has begun to fetch it. */
  readonly movedBytes: number;
}

/** What `calyx add` would do. */
export interface AddPlan {
  /** Undefined if it follows from the content, which nobody has read yet. */
  readonly revision: string | undefined;
  /** True if the store has this revision. */
  readonly isPublished: boolean;
  readonly files: readonly PlannedFile[];
}

/** What adding a directory would copy or link. Throws CalyxError as adding it would. */
export async function planDirectory(
  directory: string,
  model: ModelName,
  patterns: FilePatterns,
  revision: string | undefined,
): Promise<AddPlan> {
  const { files } = await readSource(directory, model, fileFilter(patterns));
  const planned = files.map(({ path, size }) => ({ path, bytes: size, movedBytes: size }));
  return { revision, isPublished: false, files: planned };
}

/** What adding a model that lies elsewhere would move. Throws CalyxError as adding it would, before it moved anything. */
export async function planFromRemote(
  dataDirectory: string,
  remote: RemoteModel,
  model: ModelName,
  patterns: FilePatterns,
  signal: AbortSignal,
): Promise<AddPlan> {
  const { files, missingBytes, isPublished } = await planRemote({
    dataDirectory,
    remote,
    model,
    patterns,
    signal,
  });
  return {
    revision: remote.revision,
    isPublished,
    files: files.map((file) => ({
      path: file.path,
      bytes: file.size,
      movedBytes: missingBytes.get(file) ?? 0,
    })),
  };
}
