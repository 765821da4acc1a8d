import { readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { wallClock } from '../core/clock.js';
import { isDigest, type Digest } from '../core/digest.js';
import { CalyxError, fileError, isCalyxError, systemCode } from '../core/errors.js';
import { DEFAULT_REF, formatModelName, isRevisionId, type ModelName } from '../core/names.js';
import { isProvenByManifest, revisionStatement } from '../core/ref-statement.js';
import { makeDirectories } from '../storage/files/make-directories.js';
import { syncDirectory, writeFileAtomically } from '../storage/files/durable.js';
import type { ContentKeeper } from './content-keeper.js';
import { FileKeeper } from './file-keeper.js';
import { listNames, readRecord, refSchema, revisionSchema, type Ref } from './catalog-reader.js';
import { STAGED } from './ingest/importer.js';
import { decodeManifest, manifestIds } from './manifest-codec.js';
import { dropRevisions, retiredSchema } from './remove.js';
import { signed, type SignRef } from './sign-refs.js';
import type { StoreLayout } from './store-layout.js';

const stagedSchema = z.strictObject({
  revision: z.string().refine(isRevisionId),
  manifest: z.string().refine(isDigest),
}); // prettier-ignore

/** What publishing changed. */
export interface Published {
  readonly ref: Ref;
  /** False if the ref named this revision before. */
  readonly moved: boolean;
}

/**
 * Publishes the model that `stageModel` has gathered: content, manifest, and last the ref, whose appearance under its
 * name is the one moment from which the revision is visible. Killed before, it leaves what the next call uses. Only the owner
 * of the data directory may call it.
 *
 * @param keeper puts the content into its place
 * @param sign signs what the ref says, if it moves; without it the ref has no signature until the store starts (see signRefs)
 * @throws CalyxError `not-found` if nothing is staged, `corrupt` if what is staged is not whole, `exists` if the revision is published with
 * other files
 */
export async function publishStaged(
  layout: StoreLayout,
  model: ModelName,
  keeper: ContentKeeper = new FileKeeper(layout),
  sign?: SignRef,
): Promise<Published> {
  const staging = layout.staging(model);
  const bytes = await readFile(join(staging, STAGED.manifest)).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') {
      throw new CalyxError('not-found', `nothing is staged for ${formatModelName(model)}`, {
        hint: "run 'calyx add' again",
      });
    }
    throw fileError(error, 'cannot read', staging);
  });
  const manifest = decodeManifest(bytes);
  const { digest, revision } = await stagedIds(staging, bytes);
  // One that is damaged, or was left by a first publication that was killed, is replaced.
  const hasRefs = (await listNames(layout.refs(model))).length > 0;
  const before = await readRecord(layout.revision(model, revision), revisionSchema).catch(ifDamaged);
  if (hasRefs && before !== undefined && before.manifest !== digest) throw otherFiles(model, revision);
  try {
    if (!hasRefs) await dropRevisions(layout, model, revision);
    await keeper.keep(model, revision, manifest);
    await writeFileAtomically(layout.manifest(digest), bytes);
    const signature =
      sign === undefined || isProvenByManifest(revision, digest)
        ? undefined
        : await sign(revisionStatement(formatModelName(model), revision, digest));
    const entry = {
      manifest: digest,
      publishedAt: wallClock.now(),
      ...(signature !== undefined && { signature }),
    };
    await writeFileAtomically(layout.revision(model, revision), record(entry));
    const published = await moveRef(layout, model, DEFAULT_REF, { revision, manifest: digest }, sign);
    await rm(staging, { recursive: true, force: true });
    await keeper.published(model);
    return published;
  } catch (error) {
    throw fileError(error, 'cannot publish', formatModelName(model));
  }
}

/** The error for a revision that is published, and is to be again with other files. */
export function otherFiles(model: ModelName, revision: string): CalyxError {
  const name = formatModelName(model);
  return new CalyxError(
    'exists',
    `${name}@${revision} is published with other files, and a revision never changes`,
    {
      hint: `take the same files (--include, --exclude), give another --name, or remove it first: calyx remove ${name}`,
    },
  );
}

/** The id of what is staged: one that it brings along, if that is of this very manifest. */
async function stagedIds(staging: string, bytes: Uint8Array): Promise<{ digest: Digest; revision: string }> {
  const ids = manifestIds(bytes);
  const brought = await readRecord(join(staging, STAGED.revision), stagedSchema).catch(ifDamaged);
  return brought?.manifest === ids.digest ? { ...ids, revision: brought.revision } : ids;
}

/** Makes `ref` name a revision, with the next generation. Does nothing if it does so already. */
export async function moveRef(
  layout: StoreLayout,
  model: ModelName,
  name: string,
  to: Pick<Ref, 'revision' | 'manifest'>,
  sign: SignRef | undefined,
): Promise<Published> {
  const path = layout.ref(model, name);
  const before = await readRecord(path, refSchema);
  if (before?.revision === to.revision) {
    await repairHubRef(layout, model, name, before);
    return { ref: before, moved: false };
  }
  const last = before ?? (await readRecord(layout.retired(model), retiredSchema));
  const unsigned = { revision: to.revision, generation: (last?.generation ?? 0) + 1, manifest: to.manifest };
  const ref = sign === undefined ? unsigned : await signed(model, name, unsigned, sign);
  await writeFileAtomically(path, record(ref));
  await repairHubRef(layout, model, name, ref);
  return { ref, moved: true };
}

/**
 * The ref in the Hugging Face cache layout follows ours; a kill between the two leaves it behind. A revision that has no snapshot there,
 * because its content lies elsewhere, has no ref there either.
 */
async function repairHubRef(layout: StoreLayout, model: ModelName, name: string, ref: Ref): Promise<void> {
  if (!(await listNames(layout.snapshots(model))).includes(ref.revision)) return;
  const path = layout.hubRef(model, name);
  const now = await readFile(path, 'utf8').catch(() => undefined);
  if (now === ref.revision) return;
  // Other readers of the cache take every file in refs/ for a ref, so an unfinished one must not appear there.
  const beside = layout.beside(model, name);
  await writeFileAtomically(beside, ref.revision);
  await makeDirectories(dirname(path));
  await rename(beside, path);
  await syncDirectory(dirname(path));
}

/** Brings all refs of the Hugging Face cache layout in step; the owner calls it when it starts. */
export async function repairHubRefs(
  layout: StoreLayout,
  model: ModelName,
  refs: ReadonlyMap<string, Ref>,
): Promise<void> {
  for (const [name, ref] of refs) await repairHubRef(layout, model, name, ref);
}

function ifDamaged(error: unknown): undefined {
  if (!isCalyxError(error, 'corrupt')) throw error;
}

function record(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
