import type { StoreLayout } from '../../catalog/store-layout.js';
import { systemClock } from '../../core/clock.js';
import { fileError, isCalyxError } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import { acquireOwnership, askOwner, type Ownership } from '../../storage/files/ownership.js';

/** How others see that garbage is collected. */
const COLLECTING = 'calyx gc';

/** A collection holds a model while it removes files, which takes seconds at most; an add may wait for that. */
const PATIENCE_MS = 60_000;

/**
 * Keeps other commands from adding or removing the same model, until it is released or the process dies. Waits while garbage is
 * collected.
 *
 * @param command shown to those, e.g. `calyx add`
 * @throws CalyxError `busy` naming the process that has it
 */
export async function lockModel(layout: StoreLayout, model: ModelName, command: string): Promise<Ownership> {
  const giveUpAt = systemClock.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await acquireOwnership(layout.adding(model), {
        description: `${command} (process ${process.pid})`,
      });
    } catch (error) {
      const collecting = isCalyxError(error, 'busy') && holderIn(error.message).startsWith(COLLECTING);
      if (!collecting || systemClock.now() > giveUpAt) throw fileError(error, 'cannot use', layout.root);
      await systemClock.sleep(20 + Math.random() * 30);
    }
  }
}

/**
 * Keeps others from adding to a model while its garbage is collected; in a dry run only looks, and makes nothing.
 *
 * @returns who is at work on it, or what gives it free
 */
export async function lockForCollection(
  layout: StoreLayout,
  model: ModelName,
  dryRun: boolean,
): Promise<{ readonly heldBy: string } | (() => Promise<void>)> {
  try {
    if (!dryRun) {
      const lock = await lockModel(layout, model, COLLECTING);
      return () => lock.release();
    }
    const request = { operation: 'describe', input: null };
    const owner = await askOwner(layout.adding(model), request, { leaveDead: true });
    if (owner === undefined) return () => Promise.resolve();
    const { description } = owner.output as { description: string };
    return description.startsWith(COLLECTING) ? () => Promise.resolve() : { heldBy: description };
  } catch (error) {
    if (!isCalyxError(error, 'busy', 'timeout', 'unavailable')) throw error;
    return { heldBy: holderIn(error.message) };
  }
}

/** `calyx add (process 7)` of `DIRECTORY is in use by calyx add (process 7)`. */
function holderIn(message: string): string {
  return / is in use by (.*)$/.exec(message)?.[1] ?? 'another process';
}
