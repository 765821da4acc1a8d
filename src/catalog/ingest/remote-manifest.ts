import { createHash, randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { ChunkLayout } from '../../core/chunking.js';
import type { Extent } from '../../core/byte-range.js';
import { DIGEST_BYTES } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { mapLimited } from '../../core/map-limited.js';
import { makeDirectories } from '../../storage/files/make-directories.js';
import type { RemoteFile, RemoteModel } from '../../storage/remote/remote-model.js';
import { HEADER_LENGTH_BYTES, parseHeaderLength } from '../../weights/safetensors-header.js';
import { encodeManifest } from '../manifest-codec.js';
import { fileCuts, type Manifest } from '../manifest.js';
import type { HashResult } from './hash-file.js';
import type { OnBytes } from './hash-pool.js';
import { readModelSource } from './model-source.js';
import { Patience } from './patience.js';
import { buildManifest } from './stage-model.js';
import { NO_WEIGHTS, weightFiles } from './weight-files.js';

/** Options of {@link remoteManifest}. */
export interface RemoteManifestOptions {
  /** Where headers are kept for a moment; it is made, and what was made in it is removed. */
  readonly scratch: string;
  readonly signal: AbortSignal;
  /** Told of the bytes that were hashed since the last call, or need not be. */
  readonly onBytes?: OnBytes;
  /** Digests that are known already, and are told of those that become so. */
  readonly known?: HashMemory;
  /** How long and how often what may pass is tried again. */
  readonly patience?: Patience;
}

/** Remembers digests of files, as they are cut by these extents. */
export interface HashMemory {
  find(file: RemoteFile, tensors: readonly Extent[]): HashResult | undefined;
  add(file: RemoteFile, tensors: readonly Extent[], result: HashResult): Promise<void>;
}

const MIB = 1024 * 1024;
/** One read. */
const WINDOW_BYTES = 8 * MIB;
/** Windows of a file that are read ahead, and files at the same time: all buffers together have 64 MiB. */
const AHEAD = 4;
const PARALLEL_FILES = 2;
/** Between two turns of the event loop; the process serves others meanwhile. */
const HASH_BYTES = MIB;
/** JSON that tells how weights are cut is read whole. */
const MAX_JSON_BYTES = 64 * MIB;
/** Longer than the header of any GGUF file with the largest vocabularies. */
const GGUF_HEAD_BYTES = 32 * MIB;

/**
 * Makes the manifest of a model that lies elsewhere by reading all of it once; nothing of the weights is kept.
 *
 * @returns the manifest and its canonical bytes
 * @throws CalyxError naming the file: as `readModelSource` and the model's `read` do
 */
export async function remoteManifest(
  remote: RemoteModel,
  options: RemoteManifestOptions,
): Promise<{ readonly manifest: Manifest; readonly bytes: Uint8Array }> {
  const patience = options.patience ?? new Patience();
  const read = (file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void> =>
    patience.run(() => remote.read(file, offset, target, signal), signal);
  const outline = join(options.scratch, `outline-${randomBytes(6).toString('hex')}`);
  const { files, weights } = await writeOutline(remote.files, outline, read, options.signal)
    .then(() => readModelSource(outline))
    .catch((error: unknown) => {
      throw inRemote(error, outline, remote.name);
    })
    .finally(() => rm(outline, { recursive: true, force: true }));
  const remotes = new Map(remote.files.map((file) => [file.path, file]));
  const inside = weightFiles(weights);
  const results = await mapLimited(files, PARALLEL_FILES, async ({ path }) => {
    const file = remotes.get(path);
    if (file === undefined) throw new CalyxError('internal', `${path} is not a file of ${remote.name}`);
    const cuts = fileCuts(inside.get(path) ?? NO_WEIGHTS);
    const before = options.known?.find(file, cuts);
    if (before !== undefined) {
      options.onBytes?.(file.size);
      return before;
    }
    const result = await hashRemote(file, cuts, read, options);
    await options.known?.add(file, cuts, result);
    return result;
  });
  const manifest = buildManifest(files, results, weights, inside);
  return { manifest, bytes: encodeManifest(manifest) };
}

type Read = (file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal) => Promise<void>;

/** A directory with the model's files, of which only what tells how they are cut is there: the rest is holes. */
async function writeOutline(
  files: readonly RemoteFile[],
  directory: string,
  read: Read,
  signal: AbortSignal,
): Promise<void> {
  await mapLimited(files, AHEAD, async (file) => {
    const head = await readHead(file, read, signal);
    const path = join(directory, file.path);
    try {
      await makeDirectories(dirname(path));
      const handle = await open(path, 'wx');
      try {
        await handle.writeFile(head);
        await handle.truncate(file.size);
      } finally {
        await handle.close();
      }
    } catch (error) {
      throw fileError(error, 'cannot write', path);
    }
  });
}

async function readHead(file: RemoteFile, read: Read, signal: AbortSignal): Promise<Uint8Array> {
  const part = async (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length);
    if (length > 0) await read(file, offset, bytes, signal);
    return bytes;
  };
  const { path, size } = file;
  if (path.endsWith('.gguf')) return part(0, Math.min(size, GGUF_HEAD_BYTES));
  // Others are hashed like any file; only these two are looked into.
  if (path === 'config.json' || path.endsWith('.index.json')) {
    if (size <= MAX_JSON_BYTES) return part(0, size);
    throw new CalyxError('invalid-model', `${path} has ${size} bytes, too many for a JSON file of a model`);
  }
  if (!path.endsWith('.safetensors')) return new Uint8Array();
  const field = await part(0, Math.min(HEADER_LENGTH_BYTES, size));
  const header = await part(HEADER_LENGTH_BYTES, parseHeaderLength(field, size, path));
  return Buffer.concat([field, header]);
}

async function hashRemote(
  file: RemoteFile,
  tensors: readonly Extent[],
  read: Read,
  { signal, onBytes }: RemoteManifestOptions,
): Promise<HashResult> {
  const hasher = new ChunkHasher(ChunkLayout.of(file.size, tensors));
  const ending = new AbortController();
  const both = AbortSignal.any([signal, ending.signal]);
  const buffers = Array.from({ length: AHEAD }, () =>
    Buffer.allocUnsafeSlow(Math.min(WINDOW_BYTES, file.size)),
  );
  const windows = Math.ceil(file.size / WINDOW_BYTES);
  const begin = (index: number): Promise<Buffer> | undefined => {
    const offset = index * WINDOW_BYTES;
    const buffer = buffers[index % AHEAD];
    if (index >= windows || buffer === undefined) return undefined;
    const bytes = buffer.subarray(0, Math.min(WINDOW_BYTES, file.size - offset));
    const under = read(file, offset, bytes, both).then(() => bytes);
    // It is waited for in its turn; until then its failure is no surprise.
    under.catch(() => undefined);
    return under;
  };
  const ahead = Array.from({ length: AHEAD }, (_, index) => begin(index));
  try {
    for (let index = 0; index < windows; index += 1) {
      const bytes = await ahead[index % AHEAD];
      if (bytes === undefined) throw new Error('a window was not read');
      for (let at = 0; at < bytes.byteLength; at += HASH_BYTES) {
        const piece = bytes.subarray(at, at + HASH_BYTES);
        hasher.update(piece);
        onBytes?.(piece.byteLength);
        await setImmediate();
      }
      signal.throwIfAborted();
      ahead[index % AHEAD] = begin(index + AHEAD);
    }
    return hasher.end();
  } finally {
    ending.abort(new CalyxError('aborted', 'nobody waits for it any more'));
    await Promise.allSettled(ahead.filter((window) => window !== undefined));
  }
}

/** The SHA-256 of a file and of each of its chunks, from bytes that come in order. */
class ChunkHasher {
  readonly #layout: ChunkLayout;
  readonly #whole = createHash('sha256');
  readonly #digests: Buffer;
  #chunk = createHash('sha256');
  #index = 0;
  #position = 0;

  constructor(layout: ChunkLayout) {
    this.#layout = layout;
    this.#digests = Buffer.alloc(layout.count * DIGEST_BYTES);
  }

  update(bytes: Uint8Array): void {
    this.#whole.update(bytes);
    for (let at = 0; at < bytes.byteLength;) {
      const { offset, length } = this.#layout.extent(this.#index);
      const end = Math.min(bytes.byteLength, at + offset + length - this.#position);
      this.#chunk.update(bytes.subarray(at, end));
      this.#position += end - at;
      at = end;
      if (this.#position < offset + length) continue;
      this.#chunk.digest().copy(this.#digests, this.#index * DIGEST_BYTES);
      this.#chunk = createHash('sha256');
      this.#index += 1;
    }
  }

  end(): HashResult {
    return { blob: this.#whole.digest('hex'), chunkDigests: this.#digests };
  }
}

/** Messages name the model where it lies, not the outline. */
function inRemote(error: unknown, outline: string, name: string): unknown {
  if (!(error instanceof CalyxError)) return error;
  const { code, hint, message } = error;
  const say = (text: string): string => text.replaceAll(outline, name);
  return new CalyxError(code, say(message), {
    ...(hint !== undefined && { hint: say(hint) }),
    cause: error,
  });
}
