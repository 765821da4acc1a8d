import { fitsManifest, originRecordSchema, type OriginRecord } from '../../catalog/origin/origin-record.js';
import { decodeManifest, MAX_MANIFEST_BYTES } from '../../catalog/manifest-codec.js';
import type { Manifest } from '../../catalog/manifest.js';
import { sha256 } from '../../core/digest.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import type { ObjectBucket, StoredObject } from '../../storage/object-bucket.js';
import { BESIDE } from './find-models.js';

/** A manifest, its canonical bytes, and from which objects it was made. */
export interface MadeManifest {
  readonly manifest: Manifest;
  readonly bytes: Uint8Array;
  readonly record: OriginRecord;
}

const MAX_RECORD_BYTES = 64 * 1024 * 1024;

/**
 * What another store, or an earlier one, has kept beside a model in the bucket. Undefined if there is nothing, or nothing that counts.
 *
 * @param find an object of the listing by its key
 * @throws CalyxError as the bucket does if it cannot be asked now
 */
export async function readBeside(
  bucket: ObjectBucket,
  model: ModelName,
  find: (key: string) => StoredObject | undefined,
  signal: AbortSignal,
): Promise<MadeManifest | undefined> {
  const whole = async (path: string, maxBytes: number): Promise<Uint8Array | undefined> => {
    const object = find(`${formatModelName(model)}/${path}`);
    if (object === undefined || object.size > maxBytes) return undefined;
    const bytes = new Uint8Array(object.size);
    await bucket.read(object, 0, bytes, signal);
    return bytes;
  };
  try {
    const text = await whole(BESIDE.record, MAX_RECORD_BYTES);
    const bytes = text === undefined ? undefined : await whole(BESIDE.manifest, MAX_MANIFEST_BYTES);
    if (text === undefined || bytes === undefined) return undefined;
    const record = originRecordSchema.safeParse(parseJson(text));
    // Written one after the other; a store that was killed in between leaves two that do not belong together.
    if (!record.success || sha256(bytes) !== record.data.manifest) return undefined;
    const manifest = decodeManifest(bytes);
    return fitsManifest(record.data, manifest) ? { manifest, bytes, record: record.data } : undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (isCalyxError(error, 'corrupt', 'changed', 'not-found')) return undefined;
    throw error;
  }
}

/** Keeps a manifest beside its model, for stores that come later. False if the bucket may not be written. */
export async function writeBeside(
  bucket: ObjectBucket,
  model: ModelName,
  { bytes, record }: MadeManifest,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const name = formatModelName(model);
    await bucket.put(`${name}/${BESIDE.manifest}`, bytes, signal);
    await bucket.put(`${name}/${BESIDE.record}`, Buffer.from(`${JSON.stringify(record)}\n`), signal);
    return true;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof CalyxError) return false;
    throw error;
  }
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}
