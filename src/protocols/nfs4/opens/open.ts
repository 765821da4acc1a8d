import type { FileNode, NodeVersion, TreeNode } from '../../../catalog/file-tree.js';
import { currentDirectory, currentFile } from '../operations/current.js';
import { lookupComponent } from '../operations/component.js';
import { clientOf, stateOperation, type SessionCompound } from '../session-compound.js';
import type { StateId } from '../state-id.js';
import { NFS4, Nfs4Error } from '../status.js';
import { openArguments, openResult, truncates, type OpenArguments } from './open-arguments.js';

/** OPEN4_SHARE_ACCESS: reading, writing, and wishes about delegations. */
const READ = 1;
const WRITE = 2;
const WANT_MASK = 0xff00;
const WANT_NO_DELEGATION = 0x0400;
const WANT_CANCEL = 0x0500;
/** OPEN4_SHARE_DENY. */
const DENY_READ = 1;
const MAX_DENY = 3;

/** WND4_NOT_WANTED, WND4_NOT_SUPP_FTYPE, WND4_CANCELLED: why there is no delegation. */
const NOT_WANTED = 0;
const NOT_SUPPORTED = 3;
const CANCELLED = 7;

/** OPEN4_RESULT_LOCKTYPE_POSIX: Linux locks nothing without. */
const LOCKTYPE_POSIX = 4;

/**
 * OPEN (RFC 8881, section 18.16), for reading.
 *
 * - Making a file that is there, without insisting that it is new and without cutting it off, opens it, as
 *   open(2) with O_CREAT does on a local file system that is mounted read-only; everything else that would
 *   make or change one is ROFS.
 * - Reclaims (CLAIM_PREVIOUS) succeed at any time, from a client of this run or of the one before, of this
 *   replica or of another: files never change and nobody can have taken what the client had. For the same
 *   reason there is no grace period.
 * - DENY_WRITE holds by itself. DENY_READ is never given: everybody may read everything here, NFSv3 and
 *   stateids without an open included, so it would be a promise that is not kept, and one client could stop a
 *   cluster.
 *
 * Errors: `INVAL`, `GRACE` before RECLAIM_COMPLETE, `NOENT`, `NOTDIR`, `ISDIR`, `EXIST`, `ROFS`,
 * `SHARE_DENIED`, `NOTSUPP`, `BAD_STATEID`, those of names, and those of `OpenFiles.open`.
 */
export const open = stateOperation({
  name: 'OPEN',
  args: openArguments,
  result: openResult,
  handle: async (args, compound) => {
    const access = args.access & (READ | WRITE);
    if (access === 0 || args.deny > MAX_DENY) throw new Nfs4Error(NFS4.INVAL);
    const client = clientOf(compound);
    if (!client.reclaimComplete && args.claim.kind !== 'previous') throw new Nfs4Error(NFS4.GRACE);
    const { file, change } = await find(args, compound);
    if (access !== READ || truncates(args.how)) throw new Nfs4Error(NFS4.ROFS);
    if ((args.deny & DENY_READ) !== 0) throw new Nfs4Error(NFS4.SHARE_DENIED);
    const stateId = client.opens.open(file, args.owner.owner, { access, deny: args.deny });
    compound.current = file;
    compound.currentStateId = stateId;
    return {
      stateId,
      changeIsAtomic: 1,
      changeBefore: change,
      changeAfter: change,
      flags: LOCKTYPE_POSIX,
      attributesSet: [],
      delegation: noDelegation(args.access),
    };
  },
});

interface Found {
  readonly file: FileNode;
  /** The change attribute of the directory in which the file was looked up. */
  readonly change: bigint;
}

async function find({ claim, how }: OpenArguments, compound: SessionCompound): Promise<Found> {
  switch (claim.kind) {
    case 'name': {
      const directory = currentDirectory(compound);
      const { change }: NodeVersion = await directory.version();
      const node = await lookupComponent(directory, claim.value).catch((error: unknown) => {
        const missing = error instanceof Nfs4Error && error.status === NFS4.NOENT;
        throw missing && how.kind === 'create' ? new Nfs4Error(NFS4.ROFS) : error;
      });
      return { file: existing(node, how), change };
    }
    case 'file':
    case 'previous':
      return { file: existing(currentFile(compound), how), change: 0n };
    case 'delegation':
      return noSuchDelegation(claim.value.delegation, compound);
    case 'delegationOfFile':
      return noSuchDelegation(claim.value, compound);
    case 'previousDelegation':
    case 'previousDelegationOfFile':
      // Delegations that outlive a client (section 10.2.1) are not given.
      throw new Nfs4Error(NFS4.NOTSUPP);
  }
}

/** Nobody has a delegation, so what its stateid is wrong in is all that can be told. */
function noSuchDelegation(id: StateId, compound: SessionCompound): never {
  clientOf(compound).opens.test(id);
  throw new Nfs4Error(NFS4.BAD_STATEID);
}

/** What is there, if it may be opened in this way. */
function existing(node: TreeNode, how: OpenArguments['how']): FileNode {
  if (how.kind === 'create' && how.value.kind !== 'unchecked') throw new Nfs4Error(NFS4.EXIST);
  if (node.kind === 'directory') throw new Nfs4Error(NFS4.ISDIR);
  return node;
}

function noDelegation(
  access: number,
): { kind: 'none'; value: undefined } | { kind: 'noneBecause'; value: number } {
  const want = access & WANT_MASK;
  if (want === 0) return { kind: 'none', value: undefined };
  if (want === WANT_NO_DELEGATION) return { kind: 'noneBecause', value: NOT_WANTED };
  return { kind: 'noneBecause', value: want === WANT_CANCEL ? CANCELLED : NOT_SUPPORTED };
}
