import { createHash } from 'node:crypto';
import type { NodeIdentity, NodeTime, NodeVersion } from '../file-tree.js';
import { encodeHandle, type NodeName } from './handle.js';

/** 2020-01-01: what is published has no time of its own that all replicas would know. */
const EPOCH_SECONDS = 1_577_836_800;
const FIVE_YEARS_SECONDS = 157_680_000;
const NANOSECONDS = 1_000_000_000;

const MASK_63 = (1n << 63n) - 1n;
/** Some clients take 0 and 1 for no file. */
const FIRST_FILE_ID = 2n;

/** What can be told of a node by its name alone. */
export interface NamedNode extends Pick<NodeIdentity, 'handle' | 'fileId'> {
  /** The version of a node that never changes. */
  readonly fixed: NodeVersion;
}

/** The handle, the file id and the fixed version of a node. */
export function identify(name: NodeName): NamedNode {
  const handle = encodeHandle(name);
  const digest = createHash('sha256').update(handle).digest();
  const fileId = digest.readBigUInt64BE(0) & MASK_63;
  return {
    handle,
    fileId: fileId < FIRST_FILE_ID ? fileId + FIRST_FILE_ID : fileId,
    fixed: versionFrom(digest.subarray(8)),
  };
}

/** The version of a directory that shows these lines. */
export function versionOfLines(lines: readonly string[]): NodeVersion {
  return versionFrom(createHash('sha256').update(lines.join('\n')).digest());
}

/** The version of a directory that follows a ref: it only grows, and tells revisions of one generation apart. */
export function versionOfRef(generation: number, revision: string): NodeVersion {
  const mark = Number.parseInt(revision.slice(0, 8), 16);
  return {
    change: (BigInt(generation) << 32n) | BigInt(mark),
    time: { seconds: EPOCH_SECONDS + generation, nanoseconds: mark % NANOSECONDS },
  };
}

/** Clients notice a change by the time too, so all of it depends on the digest. */
function versionFrom(digest: Uint8Array): NodeVersion {
  const view = new DataView(digest.buffer, digest.byteOffset, digest.byteLength);
  const time: NodeTime = {
    seconds: EPOCH_SECONDS + (view.getUint32(8) % FIVE_YEARS_SECONDS),
    nanoseconds: view.getUint32(12) % NANOSECONDS,
  };
  return { change: view.getBigUint64(0) & MASK_63, time };
}
