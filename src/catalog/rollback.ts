import { CalyxError, fileError, isCalyxError } from '../core/errors.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../core/names.js';
import type { DiskCatalog } from './catalog-reader.js';
import { KeptContent } from './kept-content.js';
import { moveRef, type Published } from './publish.js';
import type { SignRef } from './sign-refs.js';
import type { StoreLayout } from './store-layout.js';
import type { StoredRevision } from './stored-revisions.js';

/**
 * Makes `main` name a revision that is there, older or newer, with the next generation and a signature: to whoever follows the
 * ref it is as if it had been published again. Does nothing if `main` names it already. Only the owner of the data directory may
 * call it.
 *
 * @throws CalyxError `corrupt` if the revision is not whole any more
 */
export async function rollback(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
  { revision, manifest }: StoredRevision,
  sign?: SignRef,
): Promise<Published> {
  const found = await catalog.resolve({ model, revision });
  const kept = new KeptContent(layout);
  for (const file of found.manifest.files) {
    if (await kept.has(model, file)) continue;
    throw new CalyxError(
      'corrupt',
      `the revision ${revision} of ${formatModelName(model)} is not whole: its file ${file.path} is missing or cut off`,
      { hint: 'add it again from where it came: calyx add' },
    );
  }
  try {
    return await moveRef(layout, model, DEFAULT_REF, { revision, manifest }, sign);
  } catch (error) {
    throw isCalyxError(error) ? error : fileError(error, 'cannot move the ref of', formatModelName(model));
  }
}
