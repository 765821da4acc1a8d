import { readFile, readdir, stat } from 'node:fs/promises';
import { z } from 'zod';
import { isDigest, sha256, type Digest } from '../core/digest.js';
import { CalyxError, fileError, isCalyxError, systemCode } from '../core/errors.js';
import {
  DEFAULT_REF,
  formatModelName,
  isRevisionId,
  modelOfCacheFolder,
  type ModelName,
  type ModelSpec,
} from '../core/names.js';
import { decodeManifest } from './manifest-codec.js';
import type { Manifest } from './manifest.js';
import type { Revision } from './slice.js';
import type { StoreLayout } from './store-layout.js';

/** A ref at one moment. */
export interface Ref {
  readonly revision: string;
  /** Grows with each change, also when an older revision comes back; the highest one counts. */
  readonly generation: number;
  /** Digest of the revision's manifest. */
  readonly manifest: Digest;
  /** What the cluster's key says of all this (see refStatementBytes), base64url; a ref of a store without an identity has none. */
  readonly signature?: string | undefined;
}

/** What a name led to. */
export interface ResolvedRevision extends Revision {
  readonly manifestDigest: Digest;
  /** The ref that led to it, as it was at that moment; none if it was named by its id. */
  readonly ref?: Ref;
  /** What the cluster's key says of the revision (see revisionStatement), if it was named by its id and that does not prove itself. */
  readonly signature?: string;
}

/** The port through which everything asks which models and revisions exist. */
export interface CatalogReader {
  /** All models that are published, by name. */
  models(): Promise<ModelName[]>;
  /** The refs of a model; empty if there is no such model. */
  refs(model: ModelName): Promise<Map<string, Ref>>;
  /** The revision ids of a model. */
  revisions(model: ModelName): Promise<string[]>;
  /** The revision that a ref or a revision id names. Throws CalyxError `not-found` naming what is missing. */
  resolve(spec: ModelSpec): Promise<ResolvedRevision>;
}

export const refSchema = z.strictObject({
  revision: z.string().refine(isRevisionId),
  generation: z.number().int().positive(),
  manifest: z.string().refine(isDigest),
  // Of any form: a wrong one is replaced when the store starts, and does not make the ref unreadable.
  signature: z.string().optional(),
});

export const revisionSchema = z.strictObject({
  manifest: z.string().refine(isDigest),
  // As that of a ref.
  signature: z.string().optional(),
  /** When it was published last, in milliseconds since 1970; older stores did not write it. */
  publishedAt: z.number().optional(),
});

/**
 * Manifests kept in memory, in their canonical bytes; in memory they take about seven times as much. They are immutable, so a
 * kept one is never stale.
 */
const KEPT_MANIFEST_BYTES = 16 * 1024 * 1024;

/** Hex digits of a revision's id. */
const REVISION_DIGITS = 40;

/** Manifests whose bytes are kept for those who fetch them. */
const KEPT_MANIFEST_FILES = 4;

/** Blobs of published models that do not lie as files of their own in the data directory. */
export interface BlobsElsewhere {
  holds(model: ModelName, blob: Digest): boolean;
  /** In bytes; undefined if the blob is not there. */
  size(blob: Digest): number | undefined;
}

/** What one of two tells, the first before the second. */
export class FirstOf implements BlobsElsewhere {
  readonly #first: BlobsElsewhere;
  readonly #second: BlobsElsewhere;

  constructor(first: BlobsElsewhere, second: BlobsElsewhere) {
    this.#first = first;
    this.#second = second;
  }

  holds(model: ModelName, blob: Digest): boolean {
    return this.#first.holds(model, blob) || this.#second.holds(model, blob);
  }

  size(blob: Digest): number | undefined {
    return this.#first.size(blob) ?? this.#second.size(blob);
  }
}

/**
 * Reads the catalog from a store's data directory. Refs are read from the disk at each question, so what another process
 * publishes or removes shows at once.
 */
export class DiskCatalog implements CatalogReader {
  readonly #layout: StoreLayout;
  readonly #elsewhere: BlobsElsewhere | undefined;
  readonly #manifests = new Map<Digest, { readonly manifest: Manifest; readonly bytes: number }>();
  readonly #bytes = new Map<Digest, Promise<Uint8Array>>();
  readonly #paths = new Map<Digest, string>();
  readonly #sizes = new Map<Digest, number>();

  /** @param elsewhere blobs that count although they do not lie in the directory */
  constructor(layout: StoreLayout, elsewhere?: BlobsElsewhere) {
    this.#layout = layout;
    this.#elsewhere = elsewhere;
  }

  async models(): Promise<ModelName[]> {
    const folders = await listNames(this.#layout.allRefs);
    const models: ModelName[] = [];
    for (const folder of folders) {
      const model = modelOfCacheFolder(folder);
      if (model !== undefined && (await this.#exists(model))) models.push(model);
    }
    return models;
  }

  async refs(model: ModelName): Promise<Map<string, Ref>> {
    const refs = new Map<string, Ref>();
    for (const file of await listNames(this.#layout.refs(model))) {
      if (!file.endsWith('.json')) continue;
      const name = file.slice(0, -'.json'.length);
      const ref = await readRecord(this.#layout.ref(model, name), refSchema);
      if (ref !== undefined) refs.set(name, ref);
    }
    return refs;
  }

  async revisions(model: ModelName): Promise<string[]> {
    if (!(await this.#exists(model))) return [];
    const names = await listNames(this.#layout.revisions(model));
    return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
  }

  async resolve({ model, revision }: ModelSpec): Promise<ResolvedRevision> {
    const name = formatModelName(model);
    const refs = await this.refs(model).catch((error: unknown) => {
      // A revision id needs no ref.
      if (isRevisionId(revision) && isCalyxError(error, 'corrupt')) return undefined;
      throw error;
    });
    if (refs?.size === 0) throw unknownModel(model, await this.models());
    const ref = refs?.get(revision);
    if (ref !== undefined) return { ...(await this.#load(model, ref.revision, ref.manifest)), ref };
    const record = isRevisionId(revision)
      ? await readRecord(this.#layout.revision(model, revision), revisionSchema)
      : undefined;
    if (record !== undefined) {
      const { manifest, signature } = record;
      return {
        ...(await this.#load(model, revision, manifest)),
        ...(signature !== undefined && { signature }),
      };
    }
    throw new CalyxError('not-found', `the model ${name} has no revision or ref '${revision}'`, {
      hint: `without one, its ref '${DEFAULT_REF}' is used: ${refs?.get(DEFAULT_REF)?.revision ?? 'it has none'}`,
    });
  }

  /**
   * The canonical bytes of a manifest, shared by all who ask for it at the same time or soon after. Rejects with CalyxError
   * `not-found` or `corrupt`.
   */
  async manifestBytes(digest: Digest): Promise<Uint8Array> {
    const path = isDigest(digest) ? this.#layout.manifest(digest) : undefined;
    if (path === undefined || !(await isFile(path)))
      throw new CalyxError('not-found', `the store has no manifest ${digest.slice(0, 100)}`);
    let bytes = this.#bytes.get(digest);
    if (bytes === undefined) {
      bytes = readManifest(path, digest);
      this.#bytes.set(digest, bytes);
      bytes.catch(() => this.#bytes.delete(digest));
    }
    const [oldest] = this.#bytes.keys();
    if (this.#bytes.size > KEPT_MANIFEST_FILES && oldest !== undefined) this.#bytes.delete(oldest);
    return bytes;
  }

  /**
   * Bytes of a blob as its manifest says, so that a file that was cut off is not taken for whole; undefined if no published
   * model has it.
   */
  async blobSize(blob: Digest): Promise<number | undefined> {
    const elsewhere = this.#elsewhere?.size(blob);
    if (elsewhere !== undefined) return elsewhere;
    if ((await this.locate(blob)) === undefined) return undefined;
    if (!this.#sizes.has(blob)) await this.#learnSizes(blob);
    return this.#sizes.get(blob);
  }

  /** Where a blob lies in the data directory, or undefined if no published model has it there. */
  async locate(blob: Digest): Promise<string | undefined> {
    if (!isDigest(blob)) return undefined;
    const known = this.#paths.get(blob);
    if (known !== undefined && (await isFile(known))) return known;
    this.#paths.delete(blob);
    for (const model of await this.models()) {
      const path = this.#layout.blob(model, blob);
      if (!(await isFile(path))) continue;
      this.#paths.set(blob, path);
      return path;
    }
    return undefined;
  }

  /** True if a model that is published has this blob. */
  async hasBlob(model: ModelName, blob: Digest): Promise<boolean> {
    if (!isDigest(blob)) return false;
    const there =
      this.#elsewhere?.holds(model, blob) === true || (await isFile(this.#layout.blob(model, blob)));
    return there && (await this.#exists(model));
  }

  /** True if a revision of a model that is published has this manifest. */
  async hasManifest(model: ModelName, digest: Digest): Promise<boolean> {
    if (!isDigest(digest) || !(await this.#exists(model))) return false;
    // Most revisions are named by their manifest.
    const likely = digest.slice(0, REVISION_DIGITS);
    for (const revision of new Set([likely, ...(await this.revisions(model))])) {
      const record = await readRecord(this.#layout.revision(model, revision), revisionSchema).catch(
        onlyIfWhole,
      );
      if (record?.manifest === digest) return true;
    }
    return false;
  }

  /** By the names of its refs alone: a damaged record of one model must not hide the others. */
  async #exists(model: ModelName): Promise<boolean> {
    return (await listNames(this.#layout.refs(model))).some((file) => file.endsWith('.json'));
  }

  /** Goes through the manifests until one has the blob; what it meets never changes, so it stays known. */
  async #learnSizes(blob: Digest): Promise<void> {
    for (const model of await this.models()) {
      for (const revision of await this.revisions(model)) {
        const found = await this.resolve({ model, revision }).catch(onlyIfWhole);
        for (const file of found?.manifest.files ?? []) this.#sizes.set(file.blob, file.size);
        if (this.#sizes.has(blob)) return;
      }
    }
  }

  async #load(model: ModelName, revision: string, manifestDigest: Digest): Promise<ResolvedRevision> {
    let kept = this.#manifests.get(manifestDigest);
    if (kept === undefined) {
      const bytes = await this.manifestBytes(manifestDigest);
      kept = { manifest: decodeManifest(bytes), bytes: bytes.byteLength };
    }
    // Those used last stand last.
    this.#manifests.delete(manifestDigest);
    this.#manifests.set(manifestDigest, kept);
    let total = [...this.#manifests.values()].reduce((sum, { bytes }) => sum + bytes, 0);
    for (const [digest, { bytes }] of this.#manifests) {
      if (total <= KEPT_MANIFEST_BYTES || digest === manifestDigest) break;
      this.#manifests.delete(digest);
      total -= bytes;
    }
    return { model, revision, manifest: kept.manifest, manifestDigest };
  }
}

/** What to tell of a model that is not there. `known`: those that may be named. */
export function unknownModel(model: ModelName, known: readonly ModelName[]): CalyxError {
  const name = formatModelName(model);
  return new CalyxError('not-found', `the store has no model ${name}`, {
    hint:
      known.length > 0
        ? `it has ${known.map(formatModelName).join(', ')}`
        : `publish it on the store: calyx add DIRECTORY --name ${name}`,
  });
}

async function readManifest(path: string, digest: Digest): Promise<Uint8Array> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  if (sha256(bytes) === digest) return bytes;
  throw new CalyxError('corrupt', `${path} does not match its SHA-256`, {
    hint: 'the disk may be failing; remove the model and add it again',
  });
}

/** A damaged record or manifest of one model must not hide the blobs of the others. */
function onlyIfWhole(error: unknown): undefined {
  if (!isCalyxError(error, 'corrupt', 'not-found')) throw error;
}

/** Reads one of the catalog's small JSON records; undefined if there is none. Throws CalyxError `corrupt`, `unreadable`. */
export async function readRecord<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fileError(error, 'cannot read', path);
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    throw new CalyxError('corrupt', `${path} is not a record of this catalog`, {
      hint: 'remove the file and add the model again',
      cause: error,
    });
  }
}

/** The names in a directory, sorted; none if it does not exist. */
export async function listNames(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw fileError(error, 'cannot list', path);
  }
}

async function isFile(path: string): Promise<boolean> {
  return stat(path).then(
    (info) => info.isFile(),
    () => false,
  );
}
