import type { Logger } from 'pino';
import type { DiskCatalog } from '../../catalog/catalog-reader.js';
import { originRecords } from '../../catalog/origin/publish-origin.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { DEFAULT_REF, formatModelName, type ModelName } from '../../core/names.js';

/** True if the current revision of a model lies in object storage. Rejects with CalyxError as the catalog does. */
export async function liesInOrigin(
  layout: StoreLayout,
  catalog: DiskCatalog,
  model: ModelName,
): Promise<boolean> {
  const main = (await catalog.refs(model)).get(DEFAULT_REF)?.revision;
  return main !== undefined && (await originRecords(layout, model)).has(main);
}

/** Tells of models whose content is in object storage that this store was not told of. */
export async function warnWithoutOrigin(
  layout: StoreLayout,
  catalog: DiskCatalog,
  logger: Logger,
): Promise<void> {
  for (const model of await catalog.models()) {
    if (await liesInOrigin(layout, catalog, model).catch(() => false))
      logger.warn(
        `the content of ${formatModelName(model)} lies in object storage, so it cannot be read: start the store with --origin, or remove the model`,
      );
  }
}
