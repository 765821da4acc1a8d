import { z } from 'zod';
import { DiskCatalog, listNames, refSchema, unknownModel } from '../../catalog/catalog-reader.js';
import type { UsersOf } from '../../catalog/gc/choose-expired.js';
import {
  allModels,
  collectGarbage,
  type GarbageOptions,
  type GarbageReport,
} from '../../catalog/gc/collect-garbage.js';
import { pinRevision, readPins, removePins } from '../../catalog/pins.js';
import type { Published } from '../../catalog/publish.js';
import { rollback } from '../../catalog/rollback.js';
import type { SignRef } from '../../catalog/sign-refs.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { findRevision, revisionNames } from '../../catalog/stored-revisions.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import {
  cacheFolder,
  formatModelName,
  isRevisionId,
  parseModelName,
  parseModelSpec,
  type ModelName,
  type ModelSpec,
} from '../../core/names.js';
import type { Operation } from './management-door.js';
import { lockForCollection } from './model-lock.js';
import { commandOwner } from './owner-commands.js';
import { revisionSummarySchema, summarizeRevisions, type RevisionSummary } from './revision-summary.js';

/** A revision that is pinned. */
export interface Pinned {
  readonly revision: string;
  readonly name: string;
  /** False if it was pinned so before. */
  readonly changed: boolean;
}

/** Pins that were taken away, and those that are left of the model. */
export interface Unpinned {
  readonly removed: readonly string[];
  readonly left: readonly string[];
}

/** What to collect. */
export interface GarbageRequest {
  /** One model; all if not given. */
  readonly model?: ModelName | undefined;
  /** Of those, which may be touched. @default all */
  readonly shown?: (model: ModelName) => boolean;
  readonly keep?: number | undefined;
  readonly dryRun?: boolean | undefined;
}

/**
 * What only the owner of a data directory may do with the revisions of a model. A revision is named by its id, its first digits, a ref
 * or a pin; one that is not there is `not-found`, with those that are.
 */
export interface RevisionManager {
  /** Rejects with CalyxError `exists` for the name of a pin of another revision. */
  pin(spec: ModelSpec, name?: string): Promise<Pinned>;
  /** Takes one pin away by its name, or all of a revision. */
  unpin(model: ModelName, which: { readonly revision?: string; readonly name?: string }): Promise<Unpinned>;
  /** Makes `main` name the revision. */
  rollback(spec: ModelSpec): Promise<Published>;
  collect(request: GarbageRequest): Promise<GarbageReport>;
  revisions(model: ModelName): Promise<RevisionSummary[]>;
}

/** What a running store wants to know, and knows itself. */
export interface RevisionHooks {
  onReplaced(blob: Digest): Promise<void>;
  onChanged(): void;
  /** Who reads which revisions, and which nodes run them. */
  readonly allUsersOf: UsersOf;
  readonly bundles?: GarbageOptions['bundles'];
  readonly sign?: SignRef;
}

/** @param inTurn does one change at a time */
export function ownRevisions(
  layout: StoreLayout,
  catalog: DiskCatalog,
  hooks: RevisionHooks,
  inTurn: <T>(change: () => Promise<T>) => Promise<T>,
): RevisionManager {
  return {
    pin: ({ model, revision: text }, name) =>
      inTurn(async () => {
        const { revision } = findRevision(model, text, await revisionNames(layout, catalog, model));
        const changed = await pinRevision(layout, model, revision, name);
        return { revision, name: name ?? revision, changed };
      }),
    unpin: (model, which) =>
      inTurn(async () => {
        const names = await revisionNames(layout, catalog, model);
        const removed = pinsMeant(model, which, names);
        await removePins(layout, model, removed);
        return { removed, left: [...(await readPins(layout, model)).keys()] };
      }),
    rollback: ({ model, revision: text }) =>
      inTurn(async () => {
        const stored = findRevision(model, text, await revisionNames(layout, catalog, model));
        return rollback(layout, catalog, model, stored, hooks.sign);
      }),
    collect: ({ model, shown = () => true, keep, dryRun }) =>
      inTurn(async () => {
        // A directory that is none of a store stays as it is.
        if ((await listNames(layout.own)).length === 0) return NOTHING;
        if (model !== undefined) await checkThere(layout, catalog, model, shown);
        const folder = model === undefined ? undefined : cacheFolder(model);
        return collectGarbage(layout, catalog, {
          only: (one) => shown(one) && (folder === undefined || cacheFolder(one) === folder),
          ...(keep !== undefined && { keep }),
          ...(dryRun !== undefined && { dryRun }),
          usersOf: hooks.allUsersOf,
          bundles: hooks.bundles,
          lock: (one, dry) => lockForCollection(layout, one, dry),
          onForgotten: () => hooks.onChanged(),
          onRemoved: (blob) => hooks.onReplaced(blob),
        });
      }),
    revisions: (model) => summarizeRevisions(layout, catalog, model, hooks.allUsersOf),
  };
}

const NOTHING: GarbageReport = { removed: [], kept: [], leftovers: [], skipped: [], bytes: 0 };

async function checkThere(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
  shown: (model: ModelName) => boolean,
): Promise<void> {
  const folder = cacheFolder(model);
  const there = (await allModels(layout)).some((one) => cacheFolder(one) === folder);
  if (!there || !shown(model)) throw unknownModel(model, (await catalog.models()).filter(shown));
}

function pinsMeant(
  model: ModelName,
  { revision, name }: { readonly revision?: string; readonly name?: string },
  names: Awaited<ReturnType<typeof revisionNames>>,
): string[] {
  const { pins } = names;
  if (revision === undefined) return name !== undefined && pins.has(name) ? [name] : [];
  // Who names a pin means that one; who names a revision, all that keep it.
  if (name === undefined && pins.has(revision) && !isRevisionId(revision)) return [revision];
  const stored = findRevision(model, revision, names);
  return [...pins]
    .filter(([pin, target]) => target.revision === stored.revision && (name === undefined || pin === name))
    .map(([pin]) => pin);
}

const specSchema = z.strictObject({ model: z.string(), name: z.string().optional() });
const unpinSchema = z.strictObject({ model: z.string(), revision: z.string().optional(), name: z.string().optional() }); // prettier-ignore
const modelSchema = z.strictObject({ model: z.string() });
export const garbageRequestSchema = z.strictObject({
  model: z.string().optional(),
  keep: z.number().int().nonnegative().optional(),
  dryRun: z.boolean().optional(),
});

/** What commands ask a manager's owner by name. */
export function revisionOperations(manager: RevisionManager): Readonly<Record<string, Operation>> {
  return {
    pin: (input) => {
      const { model, name } = specSchema.parse(input);
      return manager.pin(parseModelSpec(model), name);
    },
    unpin: (input) => {
      const { model, revision, name } = unpinSchema.parse(input);
      return manager.unpin(parseModelName(model), whichOf(revision, name));
    },
    rollback: (input) => manager.rollback(parseModelSpec(specSchema.parse(input).model)),
    gc: (input) => {
      const { model, ...rest } = garbageRequestSchema.parse(input);
      return manager.collect({ ...rest, ...(model !== undefined && { model: parseModelName(model) }) });
    },
    revisions: (input) => manager.revisions(parseModelName(modelSchema.parse(input).model)),
  };
}

/** Without the keys that nothing was said for. */
export function whichOf(revision: string | undefined, name: string | undefined): { revision?: string; name?: string } {
  return { ...(revision !== undefined && { revision }), ...(name !== undefined && { name }) };
} // prettier-ignore

const pinnedSchema = z.object({ revision: z.string(), name: z.string(), changed: z.boolean() });
const unpinnedSchema = z.object({ removed: z.array(z.string()), left: z.array(z.string()) });
const publishedSchema = z.object({ ref: refSchema, moved: z.boolean() });
const reportSchema: z.ZodType<GarbageReport> = z.object({
  removed: z.array(z.object({ model: z.string(), revision: z.string(), bytes: z.number() })),
  kept: z.array(z.object({ model: z.string(), revision: z.string(), reasons: z.array(z.string()) })),
  leftovers: z.array(
    z
      .object({ model: z.string().optional(), what: z.string(), bytes: z.number() })
      .transform(({ model, ...rest }) => (model === undefined ? rest : { model, ...rest })),
  ),
  skipped: z.array(z.object({ model: z.string(), reason: z.string() })),
  bytes: z.number(),
});

/** The manager for a command: the store that owns the directory, or if none runs the command itself. */
export function commandRevisions(
  layout: StoreLayout,
  own: () => Promise<RevisionManager>,
  signal: AbortSignal,
): RevisionManager {
  // First, because an owner makes directories, and because of what one reads that is not there.
  const checkModel = async (model: ModelName): Promise<void> => {
    await revisionNames(layout, new DiskCatalog(layout), model);
  };
  const ask = <T>(operation: string, input: unknown, answer: z.ZodType<T>, here: () => Promise<T>): Promise<T> =>
    commandOwner(layout, { operation, input, answer, here }, signal); // prettier-ignore
  return {
    pin: async (spec, name) => {
      await checkModel(spec.model);
      const input = { model: formatSpec(spec), ...(name !== undefined && { name }) };
      return ask('pin', input, pinnedSchema, async () => (await own()).pin(spec, name));
    },
    unpin: async (model, which) => {
      await checkModel(model);
      const input = { model: formatModelName(model), ...which };
      return ask('unpin', input, unpinnedSchema, async () => (await own()).unpin(model, which));
    },
    rollback: async (spec) => {
      await checkModel(spec.model);
      return ask('rollback', { model: formatSpec(spec) }, publishedSchema, async () =>
        (await own()).rollback(spec),
      );
    },
    collect: async (request) => {
      const { model, keep, dryRun } = request;
      if (request.shown !== undefined)
        throw new CalyxError('internal', 'what is shown is not known to commands');
      if ((await listNames(layout.own)).length === 0) return (await own()).collect(request);
      const name = model === undefined ? {} : { model: formatModelName(model) };
      return ask('gc', { ...name, keep, dryRun }, reportSchema, async () => (await own()).collect(request));
    },
    revisions: async (model) => {
      await checkModel(model);
      const input = { model: formatModelName(model) };
      return ask('revisions', input, z.array(revisionSummarySchema), async () =>
        (await own()).revisions(model),
      );
    },
  };
}

function formatSpec({ model, revision }: ModelSpec): string {
  return `${formatModelName(model)}@${revision}`;
}
