import { z } from 'zod';
import type { Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, parseModelName, type ModelName } from '../../core/names.js';
import { BundledBlobs } from '../../catalog/bundles/bundled-blobs.js';
import { Content } from '../../catalog/content.js';
import { DiskCatalog, refSchema } from '../../catalog/catalog-reader.js';
import { publishStaged, type Published } from '../../catalog/publish.js';
import { checkRemovable, removeModel, type Removed } from '../../catalog/remove.js';
import type { RevisionUser } from '../../catalog/revision-usage.js';
import { formatSeconds } from '../../core/units.js';
import { contentsOf, type UsersOf } from '../../catalog/gc/choose-expired.js';
import { surveyModel } from '../../catalog/gc/model-survey.js';
import { wallClock } from '../../core/clock.js';
import type { SignRef } from '../../catalog/sign-refs.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { isCalyxError } from '../../core/errors.js';
import type { Operation } from './management-door.js';
import { lockModel } from './model-lock.js';
import {
  commandRevisions,
  ownRevisions,
  revisionOperations,
  type RevisionManager,
} from './manage-revisions.js';
import { commandOwner } from './owner-commands.js';
import { StoreUsage } from './store-usage.js';

const inputSchema = z.strictObject({ model: z.string(), force: z.boolean().optional() });
const publishedSchema = z.object({ ref: refSchema, moved: z.boolean() });
const removedSchema = z.object({ blobs: z.array(z.string()), bytes: z.number() });

/** What only the owner of a data directory may do. */
export interface StoreManager extends RevisionManager {
  /**
   * @param staged the revision that is staged, if it is known: if an owner dies before it can answer, it tells whether that
   * had published it
   */
  publish(model: ModelName, staged?: string): Promise<Published>;
  /**
   * @param force although somebody reads the model
   * @throws CalyxError `refused` if somebody reads it
   */
  remove(model: ModelName, force: boolean): Promise<Removed>;
}

/** What a running store wants to know, and knows itself, of changes to its catalog. */
export interface ManagerHooks {
  /** Told of each blob, and each bundle of chunks, whose file was replaced or removed. */
  onReplaced(blob: Digest): Promise<void>;
  /** Told after the catalog has changed. */
  onChanged(): void;
  /** Who has mounted a model and uses it now. */
  usersOf(model: ModelName): readonly RevisionUser[];
  readonly allUsersOf: UsersOf;
  /** Which blobs readers find in bundles of chunks. */
  readonly bundled?: BundledBlobs;
  /** Signs what a ref says; without it, refs that move have no signature. */
  readonly sign?: SignRef;
  /** Does one change at a time, if others change the catalog too; see {@link oneAtATime}. */
  readonly inTurn?: InTurn;
  /** Rejects for a model that may not be removed here. */
  mayRemove?(model: ModelName): Promise<void>;
}

/** Does a change when those before it are done. */
export type InTurn = <T>(change: () => Promise<T>) => Promise<T>;

/** @param onChanged called after each change */
export function oneAtATime(onChanged: () => void): InTurn {
  let last: Promise<unknown> = Promise.resolve();
  return (change) => {
    const turn = last.then(change, change).finally(onChanged);
    last = turn.catch(() => undefined);
    return turn;
  };
}

const NO_HOOKS: ManagerHooks = {
  onReplaced: () => Promise.resolve(),
  onChanged: () => undefined,
  usersOf: () => [],
  allUsersOf: () => [],
};

/** The manager of a process that owns the directory. */
export function ownManager(
  layout: StoreLayout,
  catalog: DiskCatalog,
  hooks: ManagerHooks = NO_HOOKS,
): StoreManager {
  const inTurn = hooks.inTurn ?? oneAtATime(() => hooks.onChanged());
  const bundled = hooks.bundled ?? new BundledBlobs(layout);
  const content = new Content(layout, catalog, bundled, (blob) => hooks.onReplaced(blob));
  // Who has read by HTTP may be done; who is reading is not.
  const readersNow = async (model: ModelName): Promise<readonly RevisionUser[]> => {
    const survey = await surveyModel(layout, catalog, model, wallClock.now()).catch(ifDamaged);
    const users = survey === undefined ? [] : hooks.allUsersOf(model, contentsOf(survey));
    return users.filter(({ open, node }) => open > 0 && node !== true);
  };
  return {
    ...ownRevisions(layout, catalog, { ...hooks, bundles: content.bundles }, inTurn),
    publish: (model) => inTurn(async () => publishStaged(layout, model, await content.keeper(), hooks.sign)),
    remove: (model, force) =>
      inTurn(async () => {
        await hooks.mayRemove?.(model);
        if (!force) checkUnused(model, [...hooks.usersOf(model), ...(await readersNow(model))]);
        const removed = await removeModel(layout, catalog, model);
        for (const blob of removed.blobs) await hooks.onReplaced(blob);
        return { ...removed, bytes: removed.bytes + (await content.free()) };
      }),
  };
}

/** What is to go need not be whole. */
function ifDamaged(error: unknown): undefined {
  if (!isCalyxError(error, 'corrupt')) throw error;
}

function checkUnused(model: ModelName, users: readonly RevisionUser[]): void {
  const [first] = users;
  if (first === undefined) return;
  const since =
    first.idleMs === undefined
      ? 'has a file of it open'
      : `read it ${formatSeconds(first.idleMs / 1000)} ago`;
  // One that reads two revisions is one.
  const more = new Set(users.map(({ by }) => by)).size - 1;
  const others = more > 0 ? `, and ${more} more use it` : '';
  throw new CalyxError('refused', `${formatModelName(model)} is in use: ${first.by} ${since}${others}`, {
    hint: 'wait until it is done (a mount: unmount it and wait ten minutes), or remove it under its readers with --force',
  });
}

/** What commands ask a manager's owner by name. */
export function managerOperations(manager: StoreManager): Readonly<Record<string, Operation>> {
  return {
    ...revisionOperations(manager),
    publish: (input) => manager.publish(parseModelName(inputSchema.parse(input).model)),
    remove: (input) => {
      const { model, force } = inputSchema.parse(input);
      return manager.remove(parseModelName(model), force === true);
    },
  };
}

/** The manager for a command: the store that owns the directory, or if none runs the command itself. */
export function commandManager(layout: StoreLayout, signal: AbortSignal): StoreManager {
  const own = async (): Promise<StoreManager> => {
    const { allUsersOf } = await StoreUsage.load(layout);
    return ownManager(layout, new DiskCatalog(layout), { ...NO_HOOKS, allUsersOf });
  };
  return {
    ...commandRevisions(layout, own, signal),
    publish: async (model, staged) => {
      const command = {
        operation: 'publish',
        input: { model: formatModelName(model) },
        answer: publishedSchema,
        here: async () => (await own()).publish(model),
      };
      try {
        return await commandOwner(layout, command, signal);
      } catch (error) {
        // An owner that died after it had moved the ref left nothing staged.
        if (staged === undefined || !isCalyxError(error, 'not-found')) throw error;
        const ref = (await new DiskCatalog(layout).refs(model)).get(DEFAULT_REF);
        if (ref?.revision !== staged) throw error;
        return { ref, moved: true };
      }
    },
    remove: async (model, force) => {
      // First, because the lock makes directories.
      await checkRemovable(layout, new DiskCatalog(layout), model);
      const lock = await lockModel(layout, model, 'calyx remove');
      try {
        const command = {
          operation: 'remove',
          input: { model: formatModelName(model), force },
          answer: removedSchema,
          here: async () => (await own()).remove(model, force),
        };
        return await commandOwner(layout, command, signal);
      } finally {
        await lock.release();
      }
    },
  };
}
