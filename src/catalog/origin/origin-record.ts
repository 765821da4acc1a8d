import { z } from 'zod';
import { isByteCount } from '../../core/byte-range.js';
import { isDigest, type Digest } from '../../core/digest.js';
import { parseFilePath } from '../../core/names.js';
import type { RemoteFile } from '../../storage/remote/remote-model.js';
import type { Manifest } from '../manifest.js';

/** A file of a model in object storage: which object had the content that the manifest tells. */
export interface OriginFile {
  /** Relative to the model. */
  readonly path: string;
  readonly size: number;
  /** The object's ETag. */
  readonly version: string;
}

/** From which objects the manifest of a revision was made. */
export interface OriginRecord {
  readonly format: 'calyx-origin-1';
  readonly manifest: Digest;
  /** Ascending by path, those of the manifest. */
  readonly files: readonly OriginFile[];
}

export const originRecordSchema: z.ZodType<OriginRecord> = z.strictObject({
  format: z.literal('calyx-origin-1'),
  manifest: z.string().refine(isDigest),
  files: z.array(
    z.strictObject({
      path: z.string().refine(isFilePath),
      size: z.number().refine(isByteCount),
      version: z.string().min(1).max(1024),
    }),
  ),
});

/** The record of a manifest that was made from these files. */
export function originRecord(manifest: Digest, files: readonly RemoteFile[]): OriginRecord {
  return {
    format: 'calyx-origin-1',
    manifest,
    files: files.map(({ path, size, version }) => ({ path, size, version: version ?? '' })),
  };
}

/** True if a record tells of exactly these objects. */
export function sameObjects(record: Pick<OriginRecord, 'files'>, files: readonly RemoteFile[]): boolean {
  return (
    record.files.length === files.length &&
    record.files.every(({ path, size, version }, index) => {
      const file = files[index];
      return file?.path === path && file.size === size && file.version === version;
    })
  );
}

/** True if a manifest can be of these objects: the same paths and sizes. */
export function fitsManifest({ files }: OriginRecord, manifest: Manifest): boolean {
  return (
    files.length === manifest.files.length &&
    files.every(({ path, size }) => manifest.file(path)?.size === size)
  );
}

function isFilePath(path: string): boolean {
  try {
    parseFilePath(path);
    return true;
  } catch {
    return false;
  }
}
