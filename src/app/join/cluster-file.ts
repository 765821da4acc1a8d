import { rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { ROLES, type StoreAccess } from '../../core/access.js';
import { isAddress, parseToken } from '../../core/cluster-token.js';
import { CalyxError, errorMessage, fileError } from '../../core/errors.js';
import { certificateFingerprint } from '../../core/fingerprint.js';
import { readPrivateFile, writePrivateFile } from '../../storage/files/private-file.js';
import { writeFileAtomically } from '../../storage/files/durable.js';

const clusterSchema = z.strictObject({
  version: z.literal(1),
  /** `HOST:PORT` each. */
  addresses: z.array(z.string().refine(isAddress)).min(1).max(64),
  /** The certificate of the cluster, PEM. */
  ca: z.string().max(16_384),
  /** A secret. */
  token: z.string().refine((text) => parseToken(text) !== undefined),
  /** What a store said of the token when it was joined. */
  name: z.string().max(200).optional(),
  role: z.enum(ROLES).optional(),
  models: z.string().max(1000).optional(),
  /** Milliseconds since 1970. */
  expiresAt: z.number().int().nonnegative().optional(),
});

/** A cluster that was joined. */
export type JoinedCluster = Readonly<z.infer<typeof clusterSchema>>;

const MAX_BYTES = 64 * 1024;

/** Where the cluster that was joined is kept: for its owner alone, and beside it what others may know. */
export function clusterFiles(env: NodeJS.ProcessEnv = process.env): {
  readonly cluster: string;
  /** The certificate of the cluster, for curl and Hub clients. */
  readonly ca: string;
} {
  const { XDG_CONFIG_HOME: xdg } = env;
  const directory = join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.config'), 'calyx');
  return { cluster: join(directory, 'cluster.json'), ca: join(directory, 'ca.pem') };
}

/**
 * The cluster that this user has joined, or undefined.
 *
 * @throws CalyxError `refused` if others may read the file, `unreadable` if it is damaged
 */
export async function readCluster(env?: NodeJS.ProcessEnv): Promise<JoinedCluster | undefined> {
  const path = clusterFiles(env).cluster;
  const text = await readPrivateFile(path, MAX_BYTES);
  if (text === undefined) return undefined;
  try {
    const cluster = clusterSchema.parse(JSON.parse(text));
    // One that was changed by hand would only be told as a server of another cluster.
    if (certificateFingerprint(cluster.ca) !== parseToken(cluster.token)?.fingerprint)
      throw new Error('the token is not one of the cluster whose certificate it holds');
    return cluster;
  } catch (error) {
    // Not the parser's message, which may quote what it read.
    const why = error instanceof z.ZodError || error instanceof SyntaxError ? '' : `: ${errorMessage(error)}`;
    throw new CalyxError('unreadable', `${path} is damaged${why}`, {
      hint: "run 'calyx leave', and join again with a line of 'calyx token create'",
    });
  }
}

/** Keeps it, in place of another one. */
export async function saveCluster(cluster: JoinedCluster, env?: NodeJS.ProcessEnv): Promise<void> {
  const files = clusterFiles(env);
  await writePrivateFile(files.cluster, `${JSON.stringify(cluster, null, 2)}\n`);
  await writeFileAtomically(files.ca, cluster.ca).catch((error: unknown) => {
    throw fileError(error, 'cannot write', files.ca);
  });
}

/** Forgets it; false if there was none. Also one that cannot be read is forgotten. */
export async function forgetCluster(env?: NodeJS.ProcessEnv): Promise<boolean> {
  const files = clusterFiles(env);
  const had = await readPrivateFile(files.cluster, MAX_BYTES).then(
    (text) => text !== undefined,
    () => true,
  );
  for (const path of [files.cluster, files.ca]) {
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fileError(error, 'cannot remove', path);
    });
  }
  return had;
}

/** How the stores of a cluster are asked. */
export function accessOf({
  addresses,
  ca,
  token,
}: Pick<JoinedCluster, 'addresses' | 'ca' | 'token'>): StoreAccess {
  return { urls: addresses.map((address) => new URL(`https://${address}`)), credential: { ca, token } };
}
