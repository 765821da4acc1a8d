import { join } from 'node:path';
import type { z } from 'zod';
import { systemClock } from '../../core/clock.js';
import { CalyxError, isCalyxError, systemCode } from '../../core/errors.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { acquireOwnership, askOwner } from '../../storage/files/ownership.js';
import { readPrivateFile } from '../../storage/files/private-file.js';
import { refuseReplica } from './replica/replica-file.js';

/** For how long a command waits until another command is done with the data directory. */
const PATIENCE_MS = 60_000;

/** Something that only the owner of a data directory may do. */
export interface OwnerCommand<T> {
  readonly operation: string;
  /** Plain JSON. */
  readonly input: unknown;
  /** What the owner answers. */
  readonly answer: z.ZodType<T>;
  /** Does it if nobody owns the directory, in the place of an owner. */
  readonly here: () => Promise<T>;
}

/**
 * Has a command done by the store that owns the directory, or takes its place for a moment if none runs.
 *
 * @throws CalyxError `refused` if the directory is that of a replica, or for who may not manage the store
 */
export async function commandOwner<T>(
  layout: StoreLayout,
  command: OwnerCommand<T>,
  signal: AbortSignal,
): Promise<T> {
  const giveUpAt = systemClock.now() + PATIENCE_MS;
  for (;;) {
    signal.throwIfAborted();
    try {
      const { operation, input } = command;
      const token = await readLocalToken(layout);
      await refuseReplica(layout);
      const answer = await askOwner(layout.owners, { operation, input, token }, { signal });
      if (answer !== undefined) return command.answer.parse(answer.output);
      const ownership = await acquireOwnership(layout.owners, {
        description: `calyx (process ${process.pid})`,
      });
      try {
        return await command.here();
      } finally {
        await ownership.release();
      }
    } catch (error) {
      // Another command is at it, or the owner left between our question and its answer.
      if (!isCalyxError(error, 'busy', 'unavailable') || systemClock.now() > giveUpAt) throw error;
      await systemClock.sleep(50 + Math.random() * 100, signal);
    }
  }
}

/** Where the text of the token lies with which the commands of this machine manage the store: whoever may read it may manage. */
export function localTokenPath(layout: StoreLayout): string {
  return join(layout.cluster, 'local-token');
}

const MAX_TOKEN_BYTES = 1024;

/** That token; undefined if no store has run on the directory yet. Throws CalyxError `refused` for who may not read it. */
export async function readLocalToken(layout: StoreLayout): Promise<string | undefined> {
  const path = localTokenPath(layout);
  try {
    return (await readPrivateFile(path, MAX_TOKEN_BYTES))?.trim();
  } catch (error) {
    if (!isCalyxError(error) || systemCode(error.cause) !== 'EACCES') throw error;
    throw new CalyxError('refused', `this store is managed by whoever may read ${path}`, {
      hint: 'run the command as the user whom the store runs as',
      cause: error,
    });
  }
}
