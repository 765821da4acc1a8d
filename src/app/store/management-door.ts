import { z } from 'zod';
import { hasRole, type Grant } from '../../core/access.js';
import type { Doorkeeper } from '../../core/doorkeeper.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { holderOf } from '../../core/holder-refused.js';
import type { OwnerHandler } from '../../storage/files/ownership.js';

/** One thing that the owner of a data directory does for commands. */
export type Operation = (input: unknown, signal: AbortSignal) => Promise<unknown>;

/** What stands behind the door. */
export interface Management {
  readonly doorkeeper: Doorkeeper;
  readonly operations: Readonly<Record<string, Operation>>;
}

/** Commands of this machine come through a socket in the data directory. */
const HERE = 'this machine';
const MAX_NAME = 100;
const subjectSchema = z.union([
  z.object({ model: z.string() }).transform(({ model }) => model),
  z.object({ id: z.string() }).transform(({ id }) => id),
  z.object({ name: z.string() }).transform(({ name }) => name),
]);

/**
 * Answers what commands of this machine ask the owner of a data directory. That they reach its socket is not enough: they show the
 * token that lies in the directory, which only who may manage can read.
 *
 * @param ready resolves when the store can be managed
 */
export function managementDoor(ready: Promise<Management>): OwnerHandler {
  return async ({ operation, input, token }, signal) => {
    const { doorkeeper, operations } = await ready;
    const decision = {
      door: 'management',
      action: operation.slice(0, MAX_NAME),
      subject: subjectSchema.safeParse(input).data,
      address: HERE,
    } as const;
    let grant: Grant | undefined;
    try {
      grant = doorkeeper.whoIs({ address: HERE, token });
      if (!hasRole(grant, 'admin') || grant.models !== '*')
        throw new CalyxError('refused', `the token of ${grant.name} may not manage all of a store`);
      const run = Object.hasOwn(operations, operation) ? operations[operation] : undefined;
      if (run === undefined)
        throw new CalyxError(
          'usage',
          `unknown operation '${operation.slice(0, MAX_NAME)}'; the store may run another version of Calyx`,
        );
      const answer = await run(input, signal);
      doorkeeper.decided({ ...decision, grant, allowed: true });
      return answer;
    } catch (error) {
      const reason = isCalyxError(error) ? error.code : 'internal';
      // What failed for another reason was allowed.
      const allowed = !isCalyxError(error, 'unauthenticated', 'refused', 'limited');
      doorkeeper.decided({ ...decision, grant: grant ?? holderOf(error), allowed, reason });
      throw error;
    }
  };
}
