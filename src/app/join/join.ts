import { z } from 'zod';
import { ROLES, WRITER_NAME, type ClusterCredential } from '../../core/access.js';
import { formatToken, parseJoinString } from '../../core/cluster-token.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { JsonClient } from '../../protocols/http/json-client.js';
import { accessOf, clusterFiles, forgetCluster, saveCluster, type JoinedCluster } from './cluster-file.js';
import { findCluster } from './find-cluster.js';

/** What a store says of the holder of a token. */
const whoamiSchema = z.object({
  name: z.string().max(200),
  role: z.enum(ROLES),
  models: z.string().max(1000),
  expiresAt: z.number().int().nonnegative().nullish(),
});

/** An address that could not be checked now. */
export interface SilentAddress {
  readonly address: string;
  readonly problem: string;
}

/** What was joined. */
export interface Joined {
  readonly cluster: JoinedCluster;
  readonly silent: readonly SilentAddress[];
  readonly files: { readonly cluster: string; readonly ca: string };
}

/** Options of {@link join}. */
export interface JoinOptions {
  readonly signal?: AbortSignal;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * Joins the cluster of a join string: makes sure that all addresses that answer are its stores, then shows the token to one of them, to
 * the writer if it is among them, and keeps all that for later commands.
 *
 * @throws CalyxError `usage` for what is no join string; `refused` if somebody else answers at an address, before the token is sent anywhere;
 * `unauthenticated` if the token is not good (any more); `unavailable` if no address answers
 */
export async function join(text: string, { signal, env }: JoinOptions = {}): Promise<Joined> {
  const { addresses, token } = parseJoinString(text);
  const looked = await Promise.allSettled(
    addresses.map((address) => findCluster(address, token.fingerprint, signal)),
  );
  signal?.throwIfAborted();
  const cas: string[] = [];
  const answering: string[] = [];
  const silent: SilentAddress[] = [];
  addresses.forEach((address, index) => {
    const result = looked[index];
    if (result?.status === 'fulfilled') {
      cas.push(result.value);
      answering.push(address);
    } else if (isCalyxError(result?.reason, 'unavailable', 'timeout'))
      silent.push({ address, problem: errorMessage(result.reason) });
    else throw result?.reason;
  });
  const [ca] = cas;
  if (ca === undefined) throw nobodyAnswers(silent);
  const credential = { ca, token: formatToken(token) };
  // It may be a token of role admin, with which a replica could do what only the writer does.
  const { expiresAt, ...who } = await whoami(answering, { ...credential, server: WRITER_NAME }, signal).catch(
    (error: unknown) => {
      signal?.throwIfAborted();
      if (!isAway(error)) throw error;
      return whoami(answering, credential, signal);
    },
  );
  const cluster = {
    version: 1 as const,
    addresses: [...addresses],
    ...credential,
    ...who,
    ...(expiresAt == null ? {} : { expiresAt }),
  };
  await saveCluster(cluster, env);
  return { cluster, silent, files: clusterFiles(env) };
}

/** Forgets the cluster that was joined; false if there was none. */
export function leave(env?: NodeJS.ProcessEnv): Promise<boolean> {
  return forgetCluster(env);
}

async function whoami(
  addresses: readonly string[],
  credential: ClusterCredential,
  signal: AbortSignal | undefined,
): Promise<z.infer<typeof whoamiSchema>> {
  const failures: unknown[] = [];
  for (const url of accessOf({ addresses: [...addresses], ...credential }).urls) {
    const client = new JsonClient(url, { credential });
    try {
      return parseWhoami(client.url, await client.json('/v1/whoami', { signal }));
    } catch (error) {
      signal?.throwIfAborted();
      if (!isAway(error)) throw error;
      failures.push(error);
    } finally {
      await client.close();
    }
  }
  throw failures[0];
}

/** True if another store may answer. */
function isAway(error: unknown): boolean {
  return isCalyxError(error, 'unavailable', 'timeout', 'limited');
}

function parseWhoami(url: string, answer: unknown): z.infer<typeof whoamiSchema> {
  const parsed = whoamiSchema.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new CalyxError('unavailable', `${url} does not answer as a Calyx store does`, {
    hint: 'the store may run another version',
    cause: parsed.error,
  });
}

function nobodyAnswers(silent: readonly SilentAddress[]): CalyxError {
  return new CalyxError(
    'unavailable',
    `no store of the cluster answers: ${silent.map(({ problem }) => problem).join('; ')}`,
    { hint: 'check that the store runs, and that this machine reaches its address; nothing was sent' },
  );
}
