import { z } from 'zod';
import type { DiskCatalog } from '../../catalog/catalog-reader.js';
import { contentsOf, type UsersOf } from '../../catalog/gc/choose-expired.js';
import { surveyModel } from '../../catalog/gc/model-survey.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { revisionNames } from '../../catalog/stored-revisions.js';
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
  const holders = new Map<string, number>();
  for (const { blobs } of contents)
    for (const blob of new Set(blobs)) holders.set(blob, (holders.get(blob) ?? 0) + 1);
  const users = usersOf?.(model, contents);
  const named = (names: ReadonlyMap<string, { readonly revision: string }>, revision: string): string[] =>
    [...names].filter(([, target]) => target.revision === revision).map(([name]) => name);
  return survey.revisions.map(({ revision, publishedAt }) => {
    const files = survey.manifests.get(revision)?.files ?? [];
    const sizes = new Map(files.map(({ blob, size }) => [blob, size]));
    return {
      model: formatModelName(model),
      revision,
      refs: named(survey.refs, revision),
      pins: named(survey.pins, revision),
      publishedAt: new Date(publishedAt).toISOString(),
      bytes: files.reduce((sum, { size }) => sum + size, 0),
      ownBytes: [...sizes].reduce((sum, [blob, size]) => sum + (holders.get(blob) === 1 ? size : 0), 0),
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
