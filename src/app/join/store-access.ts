import type { StoreAccess } from '../../core/access.js';
import { DEFAULT_STORE_ADDRESS, parseStoreUrls } from './store-urls.js';

/**
 * Which stores a command asks, and how.
 *
 * @param option the text of `--store`; it comes before CALYX_STORE, that before the cluster that was joined, and that before this machine
 * @throws CalyxError `usage`
 */
export async function storeAccess(
  option: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<StoreAccess> {
  const urls = parseStoreUrls(option ?? env['CALYX_STORE'] ?? `http://${DEFAULT_STORE_ADDRESS}`);
  return Promise.resolve({ urls, credential: undefined });
}
