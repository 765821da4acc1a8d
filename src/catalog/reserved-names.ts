import { CalyxError } from '../core/errors.js';
import type { ModelName } from '../core/names.js';

/** Organisations that would stand where a store's own paths begin. */
const ORGANISATIONS = ['api', 'tree', 'v1', 'v2'];
/** Names that would stand where the paths of a repository of the Hub have a word of their own. */
const NAMES = ['raw', 'resolve'];

/** Refuses new models that clients of the Hub could not reach at a store. Throws CalyxError `usage`. */
export function refuseReservedName({ org, name }: ModelName): void {
  const found = [
    ['an organisation', org, ORGANISATIONS] as const,
    ['the name of a model', name, NAMES] as const,
  ].find(([, word, reserved]) => reserved.includes(word));
  if (found === undefined) return;
  const [what, word, reserved] = found;
  throw new CalyxError('usage', `'${word}' cannot be ${what}: a store has paths of that name`, {
    hint: `choose another one; ${reserved.join(', ')} are taken`,
  });
}
