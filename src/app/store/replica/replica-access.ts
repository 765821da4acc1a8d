import type { StoreLayout } from '../../../catalog/store-layout.js';
import { formatToken, isJoinString, parseJoinString } from '../../../core/cluster-token.js';
import { CalyxError } from '../../../core/errors.js';
import { certificateFingerprint } from '../../../core/fingerprint.js';
import { accessOf } from '../../join/cluster-file.js';
import { storeAccess } from '../../join/store-access.js';
import { isSecured, type SecuredAccess } from '../../node/secured-access.js';
import { readReplica } from './replica-file.js';

/**
 * The cluster to which a replica belongs: that of CALYX_STORE, or the one that was joined. A join string needs no store that answers if the
 * replica knows the cluster already.
 *
 * @throws CalyxError `usage` if there is none; as {@link storeAccess} does
 */
export async function replicaAccess(
  layout: StoreLayout,
  env: NodeJS.ProcessEnv = process.env,
): Promise<SecuredAccess> {
  const access = (await keptAccess(layout, env)) ?? (await storeAccess(undefined, env));
  if (isSecured(access)) return access;
  throw new CalyxError('usage', '--replica needs the cluster that it is to be a store of', {
    hint: "join it on this machine with the line that 'calyx token create --role admin' prints on the store that has its key ('calyx join STRING', or CALYX_STORE)",
  });
}

async function keptAccess(layout: StoreLayout, env: NodeJS.ProcessEnv): Promise<SecuredAccess | undefined> {
  const text = env['CALYX_STORE']?.trim() ?? '';
  if (!isJoinString(text)) return undefined;
  const { addresses, token } = parseJoinString(text);
  const kept = await readReplica(layout);
  if (kept === undefined || certificateFingerprint(kept.ca) !== token.fingerprint) return undefined;
  const access = accessOf({ addresses: [...addresses], ca: kept.ca, token: formatToken(token) });
  return isSecured(access) ? access : undefined;
}
