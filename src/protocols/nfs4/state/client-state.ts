import type { FileNode } from '../../../catalog/file-tree.js';
import type { StateId } from '../state-id.js';

/** What the server keeps for one client: its lease, its sessions and its open files (RFC 8881, section 8). */
export interface ClientState {
  readonly clientId: bigint;
  readonly opens: OpenFiles;
}

/** The files that a client has open. */
export interface OpenFiles {
  /**
   * Opens a file for an owner, or opens it once more with the same stateid, its sequence one higher (section 18.16.3).
   *
   * @throws Nfs4Error `NOSPC` when the client has too many, `DELAY` when all together have
   */
  open(file: FileNode, owner: Uint8Array, share: OpenShare): StateId;
  /** Reduces the access (section 18.18). Throws Nfs4Error `INVAL`, `BAD_STATEID`, `OLD_STATEID`, `STALE_STATEID`. */
  downgrade(id: StateId, file: FileNode, share: OpenShare): StateId;
  /** Throws Nfs4Error `BAD_STATEID`, `OLD_STATEID`, `STALE_STATEID`. */
  close(id: StateId, file: FileNode): StateId;
  /**
   * Checks a stateid for reading from `file`; the special ones of section 8.2.3 are allowed.
   *
   * @throws Nfs4Error `BAD_STATEID`, `OLD_STATEID`, `STALE_STATEID`, `OPENMODE`
   */
  checkRead(id: StateId, file: FileNode): void;
}

/** Bits of OPEN4_SHARE_ACCESS and OPEN4_SHARE_DENY. */
export interface OpenShare {
  readonly access: number;
  readonly deny: number;
}
