import type { ClusterCredential, StoreAccess } from '../../core/access.js';
import { formatToken, isJoinString, parseJoinString } from '../../core/cluster-token.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { accessOf, readCluster } from './cluster-file.js';
import { findCluster } from './find-cluster.js';
import { DEFAULT_STORE_ADDRESS, parseStoreUrls } from './store-urls.js';

/**
 * Which stores a command asks, and how: `--store` comes before CALYX_STORE (addresses or a join string), that before the cluster that was
 * joined, and that before this machine. Addresses at `https:` are asked with the join string of CALYX_STORE or as the cluster that was joined;
 * those at `http:` name open stores, which are told nothing of a token.
 *
 * @param option the text of `--store`
 * @throws CalyxError `usage`; as {@link findCluster} and {@link readCluster} do
 */
export async function storeAccess(
  option: string | undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<StoreAccess> {
  if (option !== undefined && isJoinString(option.trim()))
    throw new CalyxError('usage', 'a join string does not belong into --store', {
      hint: "everyone on this machine can see it there: put it into CALYX_STORE, or run 'calyx join -' once, which reads it from its input",
    });
  const set = env['CALYX_STORE'];
  const text = option ?? set;
  if (text !== undefined && !isJoinString(text.trim())) {
    const urls = parseStoreUrls(text);
    const secured = urls.some(({ protocol }) => protocol === 'https:');
    if (secured && urls.some(({ protocol }) => protocol === 'http:'))
      throw new CalyxError('usage', 'stores with TLS and stores without do not go together', {
        hint: 'a token is for the ones and not for the others; name only addresses at https:, or only at http:',
      });
    return { urls, credential: secured ? await ownCredential(env) : undefined };
  }
  if (text !== undefined) return joinedFor(text);
  const cluster = await readCluster(env);
  if (cluster !== undefined) return accessOf(cluster);
  return { urls: [new URL(`http://${DEFAULT_STORE_ADDRESS}`)], credential: undefined };
}

/** For addresses that were named without one; undefined if there is none, which whoever connects refuses. */
async function ownCredential(env: NodeJS.ProcessEnv): Promise<ClusterCredential | undefined> {
  const set = env['CALYX_STORE']?.trim() ?? '';
  if (isJoinString(set)) return (await joinedFor(set)).credential;
  const cluster = await readCluster(env);
  return cluster && accessOf(cluster).credential;
}

/** By join string, so that a process asks for the certificate once. */
const found = new Map<string, Promise<StoreAccess>>();

function joinedFor(text: string): Promise<StoreAccess> {
  const known = found.get(text) ?? findAccess(text);
  found.set(text, known);
  // A store that does not answer yet may do so later.
  known.catch(() => found.delete(text));
  return known;
}

/** The access that a join string means, without keeping it. */
async function findAccess(text: string): Promise<StoreAccess> {
  const { addresses, token } = parseJoinString(text);
  const stop = new AbortController();
  const looks = addresses.map((address) => findCluster(address, token.fingerprint, stop.signal));
  try {
    const ca = await Promise.any(looks);
    return accessOf({ addresses: [...addresses], ca, token: formatToken(token) });
  } catch (error) {
    const failures: unknown[] = error instanceof AggregateError ? error.errors : [error];
    const worst = failures.find((failure) => isCalyxError(failure, 'refused')) ?? failures[0];
    if (failures.length === 1 || !isCalyxError(worst)) throw worst;
    throw new CalyxError(worst.code, failures.map(errorMessage).join('; '), {
      ...(worst.hint === undefined ? {} : { hint: worst.hint }),
      cause: worst,
    });
  } finally {
    stop.abort();
    await Promise.allSettled(looks);
  }
}
