import { Patience } from '../../catalog/ingest/patience.js';
import { formatModelName } from '../../core/names.js';
import { HubModel } from '../../storage/remote/hub-model.js';
import type { RemoteModel } from '../../storage/remote/remote-model.js';
import { S3Model } from '../../storage/remote/s3-model.js';
import type { AddSource } from './add-source.js';
import { hubAccess } from './hub-access.js';

/** For how long a listing is asked for again: nothing has been done yet that would be lost. */
const LISTING_PATIENCE_MS = 20_000;

/**
 * Lists a model that lies elsewhere. The caller closes it.
 *
 * @throws CalyxError as {@link HubModel.open}, {@link S3Model.open} and {@link hubAccess} do
 */
export async function openRemote(
  source: Exclude<AddSource, { readonly kind: 'directory' }>,
  signal: AbortSignal,
  onNotice: (text: string) => void = () => undefined,
): Promise<RemoteModel> {
  const patience = new Patience({
    deadlineMs: LISTING_PATIENCE_MS,
    onWait: ({ message }, pauseMs) => onNotice(`${message}; trying again in ${Math.ceil(pauseMs / 1000)} s`),
  });
  if (source.kind === 's3') {
    const model = await patience.run(() => S3Model.open(source.location, {}, signal), signal);
    if (model.anonymous)
      onNotice('no AWS credentials were found: requests are not signed, as public buckets allow');
    return model;
  }
  const { endpoint, repo, revision } = source;
  const { notice, ...access } = await hubAccess(endpoint);
  if (notice !== undefined) onNotice(notice);
  const options = { endpoint, repo: formatModelName(repo), revision, ...access };
  return patience.run(() => HubModel.open(options, signal), signal);
}
