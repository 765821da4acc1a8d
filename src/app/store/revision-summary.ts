import { z } from 'zod';
import { chunksOfFile, filesByContent } from '../../catalog/bundles/chunk-places.js';
import { readContentLayout } from '../../catalog/content-layout.js';
import type { Manifest } from '../../catalog/manifest.js';
import type { DiskCatalog } from '../../catalog/catalog-reader.js';
import { contentsOf, type UsersOf } from '../../catalog/gc/choose-expired.js';
import { surveyModel } from '../../catalog/gc/model-survey.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { revisionNames } from '../../catalog/stored-revisions.js';
import type { Digest } from '../../core/digest.js';
import { wallClock } from '../../core/clock.js';
import { formatModelName, type ModelName } from '../../core/names.js';

/** Somebody who uses a revision now. */
const userSchema = z.object({
  /** An address, or the name of a node and where it is reached. */
  by: z.string(),
  /** Since the last read; null for who only has files open, and for nodes. */
  idleSeconds: z.number().nullable(),
  /** Files that are open, or answers under way. */
  open: z.number(),
  /** True if it is a node that runs blocks of it. */
  node: z.boolean(),
});

/** A revision as lists show it. */
export const revisionSummarySchema = z.object({
  model: z.string(),
  revision: z.string(),
  refs: z.array(z.string()),
  pins: z.array(z.string()),
  /** When it was published last, as in RFC 3339. */
  publishedAt: z.string(),
  bytes: z.number(),
  /** Of the bytes, those that no other revision of the model has. */
  ownBytes: z.number(),
  /** Null if it is not known. */
  users: z.array(userSchema).nullable(),
});

export type RevisionSummary = Readonly<z.infer<typeof revisionSummarySchema>>;

/**
 * The revisions of a model, the one that was published last first.
 *
 * @param usersOf who uses them; undefined if that is not known
 * @throws CalyxError `not-found` if there is no such model, `corrupt` if its records are damaged
 */
export async function summarizeRevisions(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
  usersOf: UsersOf | undefined,
): Promise<RevisionSummary[]> {
  await revisionNames(layout, catalog, model);
  const survey = await surveyModel(layout, catalog, model, wallClock.now());
  const contents = contentsOf(survey);
  const inChunks = (await readContentLayout(layout)) === 'chunks';
  const shares = new Map(
    survey.revisions.map(({ revision }) => [revision, piecesOf(survey.manifests.get(revision), inChunks)]),
  );
  const holders = new Map<Digest, number>();
  for (const pieces of shares.values())
    for (const digest of pieces.keys()) holders.set(digest, (holders.get(digest) ?? 0) + 1);
  const users = usersOf?.(model, contents);
  const named = (names: ReadonlyMap<string, { readonly revision: string }>, revision: string): string[] =>
    [...names].filter(([, target]) => target.revision === revision).map(([name]) => name);
  return survey.revisions.map(({ revision, publishedAt }) => {
    const files = survey.manifests.get(revision)?.files ?? [];
    const pieces = [...(shares.get(revision) ?? [])];
    return {
      model: formatModelName(model),
      revision,
      refs: named(survey.refs, revision),
      pins: named(survey.pins, revision),
      publishedAt: new Date(publishedAt).toISOString(),
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      ownBytes: pieces.reduce((sum, [digest, size]) => sum + (holders.get(digest) === 1 ? size : 0), 0),
      users:
        users === undefined
          ? null
          : users
              .filter((user) => user.revision === revision)
              .map(({ by, idleMs, open, node }) => ({
                by,
                idleSeconds: idleMs === undefined ? null : Math.round(idleMs / 1000),
                open,
                node: node === true,
              })),
    };
  });
}

/** What a revision is made of that others may share, with sizes in bytes: its chunks, or its files. */
function piecesOf(manifest: Manifest | undefined, inChunks: boolean): Map<Digest, number> {
  const files = manifest === undefined ? [] : filesByContent(manifest);
  if (!inChunks) return new Map(files.map(({ blob, size }) => [blob, size]));
  return new Map(files.flatMap(chunksOfFile).map(({ digest, length }) => [digest, length]));
}
