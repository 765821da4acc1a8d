import type { ModelName } from '../../core/names.js';
import { fileError } from '../../core/errors.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { acquireOwnership, type Ownership } from '../../storage/files/ownership.js';

/**
 * Keeps other commands from adding or removing the same model, until it is released or the process dies.
 *
 * @param command shown to those, e.g. `calyx add`
 * @throws CalyxError `busy` naming the process that has it
 */
export async function lockModel(layout: StoreLayout, model: ModelName, command: string): Promise<Ownership> {
  return acquireOwnership(layout.adding(model), {
    description: `${command} (process ${process.pid})`,
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', layout.root);
  });
}
