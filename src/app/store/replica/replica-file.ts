import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { identityFile } from '../../../cluster/identity/cluster-identity.js';
import { readPrivateFile, writePrivateFile } from '../../../storage/files/private-file.js';
import type { StoreLayout } from '../../../catalog/store-layout.js';
import { CalyxError, fileError, isCalyxError, systemCode } from '../../../core/errors.js';

const pem = z.string().max(64 * 1024);
const recordSchema = z.strictObject({
  version: z.literal(1),
  /** The certificate of the cluster. */
  ca: pem,
  /** Where the stores of the cluster were when this was written. */
  stores: z.array(z.url({ protocol: /^https$/ })).min(1).max(64),
  /** The replica's own, a secret, and its certificate. */
  key: pem,
  certificate: pem,
}); // prettier-ignore

/** What a replica keeps so that it can start while no other store answers; that it is there makes a directory that of a replica. */
export type ReplicaRecord = Readonly<z.infer<typeof recordSchema>>;

const MAX_BYTES = 256 * 1024;

function replicaFile(layout: StoreLayout): string {
  return join(layout.cluster, 'replica.json');
}

/**
 * What the replica of this directory keeps; undefined if it is not that of a replica.
 *
 * @throws CalyxError `refused` if others may read it, `unreadable` if it is damaged
 */
export async function readReplica(layout: StoreLayout): Promise<ReplicaRecord | undefined> {
  const path = replicaFile(layout);
  const text = await readPrivateFile(path, MAX_BYTES);
  if (text === undefined) return undefined;
  try {
    return recordSchema.parse(JSON.parse(text));
  } catch {
    // Not the parser's message, which may quote what it read.
    throw new CalyxError('unreadable', `${path} is damaged`, {
      hint: `remove ${layout.cluster}, which holds nothing that a replica does not get again, and start with --replica`,
    });
  }
}

/** Keeps it, for the owner of the data directory alone. */
export function writeReplica(layout: StoreLayout, record: ReplicaRecord): Promise<void> {
  return writePrivateFile(replicaFile(layout), `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * Refuses what only the store with the key of the cluster does.
 *
 * @param hint what to do instead
 * @throws CalyxError `refused` if the directory is that of a replica
 */
export async function refuseReplica(layout: StoreLayout, hint?: string): Promise<void> {
  if (!(await isThere(replicaFile(layout)))) return;
  const record = await readReplica(layout).catch((error: unknown) => {
    if (isCalyxError(error)) return undefined;
    throw error;
  });
  const where = record === undefined ? 'a cluster' : `the cluster at ${record.stores.join(', ')}`;
  throw new CalyxError('refused', `${layout.root} is the directory of a replica of ${where}`, {
    hint:
      hint ??
      'publish and remove models, and make and revoke tokens, on the store that has the key of the cluster (its writer); a replica follows its tokens, and gets its models as a copy',
  });
}

/**
 * Refuses to make a replica of a store that has a cluster of its own.
 *
 * @throws CalyxError `refused` if the directory has an identity
 */
export async function refuseWriter(layout: StoreLayout): Promise<void> {
  const path = identityFile(layout.cluster);
  if (!(await isThere(path))) return;
  throw new CalyxError(
    'refused',
    `${layout.root} has the key of a cluster of its own (${path}), so it is no replica`,
    {
      hint: `start it without --replica; if it is a copy of another store's directory, or nobody shall be known to it any more, remove ${layout.cluster} first (and copy without .calyx/cluster)`,
    },
  );
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    // Who may not look may do nothing else either, and is told so then.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(systemCode(error) ?? '')) return false;
    throw fileError(error, 'cannot look at', path);
  }
}
