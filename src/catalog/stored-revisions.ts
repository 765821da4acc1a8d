import { stat } from 'node:fs/promises';
import type { Digest } from '../core/digest.js';
import { CalyxError } from '../core/errors.js';
import { formatModelName, isRevisionId, type ModelName } from '../core/names.js';
import {
  listNames,
  readRecord,
  revisionSchema,
  unknownModel,
  type DiskCatalog,
  type Ref,
} from './catalog-reader.js';
import { readPins, type Pin } from './pins.js';
import type { StoreLayout } from './store-layout.js';

/** A revision that a store has. */
export interface StoredRevision {
  readonly revision: string;
  readonly manifest: Digest;
  /** When it was published last, in milliseconds since 1970. */
  readonly publishedAt: number;
}

/** All that names revisions of a model. */
export interface RevisionNames {
  /** The one that was published last stands first. */
  readonly revisions: readonly StoredRevision[];
  readonly refs: ReadonlyMap<string, Ref>;
  readonly pins: ReadonlyMap<string, Pin>;
}

/** The revisions of a model of which there are records, whether a ref shows the model or not. Throws CalyxError `corrupt`. */
export async function storedRevisions(layout: StoreLayout, model: ModelName): Promise<StoredRevision[]> {
  const found: StoredRevision[] = [];
  for (const file of await listNames(layout.revisions(model))) {
    const revision = file.slice(0, -'.json'.length);
    if (!file.endsWith('.json') || !isRevisionId(revision)) continue;
    const path = layout.revision(model, revision);
    const record = await readRecord(path, revisionSchema);
    if (record === undefined) continue;
    const publishedAt = record.publishedAt ?? (await stat(path)).mtimeMs;
    found.push({ revision, manifest: record.manifest, publishedAt });
  }
  return found.sort((a, b) => b.publishedAt - a.publishedAt || (a.revision < b.revision ? -1 : 1));
}

/** What of a model there is, and what names it. Throws CalyxError `not-found` if there is no such model, `corrupt`. */
export async function revisionNames(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<RevisionNames> {
  const refs = await catalog.refs(model);
  if (refs.size === 0) throw unknownModel(model, await catalog.models());
  return { revisions: await storedRevisions(layout, model), refs, pins: await readPins(layout, model) };
}

/** Ids are told apart by their first digits, of which this many must be given. */
const MIN_DIGITS = 4;

/**
 * The revision that somebody means by an id, its first digits, a ref or a pin.
 *
 * @throws CalyxError `not-found` telling which there are, `usage` if the digits begin several
 */
export function findRevision(model: ModelName, text: string, names: RevisionNames): StoredRevision {
  const { revisions, refs, pins } = names;
  const named = refs.get(text)?.revision ?? pins.get(text)?.revision ?? text;
  const begins = new RegExp(`^[0-9a-f]{${MIN_DIGITS},40}$`).test(named);
  const [found, second] = begins ? revisions.filter(({ revision }) => revision.startsWith(named)) : [];
  if (second !== undefined) {
    throw new CalyxError('usage', `several revisions of ${formatModelName(model)} begin with ${named}`, {
      hint: `give more digits: ${list(names, named)}`,
    });
  }
  if (found !== undefined) return found;
  throw new CalyxError('not-found', `${formatModelName(model)} has no revision or ref '${text}'`, {
    hint: `it has ${list(names)}`,
  });
}

const LISTED = 10;

/** For people: `1234... (main), 5678...`. */
function list({ revisions, refs, pins }: RevisionNames, prefix = ''): string {
  const all = revisions.filter(({ revision }) => revision.startsWith(prefix));
  const shown = all.slice(0, LISTED).map(({ revision }) => {
    const called = [...refs, ...pins]
      .filter(([name, target]) => target.revision === revision && name !== revision)
      .map(([name]) => name);
    return called.length === 0 ? revision : `${revision} (${called.join(', ')})`;
  });
  const more = all.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}
