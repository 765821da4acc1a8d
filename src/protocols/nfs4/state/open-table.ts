import { createHash } from 'node:crypto';
import type { FileNode } from '../../../catalog/file-tree.js';
import type { OpenedFile } from '../../nfs/exports.js';
import { NFS4, Nfs4Error } from '../status.js';
import {
  INVALID_STATE_ID,
  isReadWithoutOpen,
  isSpecialStateId,
  makeStateId,
  stateIdParts,
  type StateId,
} from '../state-id.js';
import type { OpenFiles, OpenShare } from './client-state.js';
import { around, without, type LockRange } from './lock-range.js';
import type { StateBudget } from './state-budget.js';

/** What an {@link OpenTable} is part of. */
export interface OpenTableOptions {
  /** What every stateid carries: this run of the server, and the client. */
  readonly boot: number;
  readonly client: number;
  /** States that the client may have. */
  readonly max: number;
  /** Shared by all clients. */
  readonly budget: StateBudget;
  /** Says that the file is in use until what it returns is called. */
  hold(file: OpenedFile): () => void;
}

interface OpenState {
  readonly kind: 'open';
  readonly number: number;
  readonly file: OpenedFile;
  readonly key: string;
  readonly locks: Set<LockState>;
  sequence: number;
  deny: number;
  /** Undefined while the lease is not renewed. */
  release: (() => void) | undefined;
}

interface LockState {
  readonly kind: 'lock';
  readonly number: number;
  readonly open: OpenState;
  readonly key: string;
  sequence: number;
  held: LockRange | undefined;
}

const ACCESS_READ = 1;
const DENY_BITS = 3;
/** Owners have up to 1,024 bytes; of longer ones than this a digest is kept. */
const MAX_KEY_BYTES = 64;

/**
 * The files that one client has open, and its locks. Files never change and nobody writes, so nothing
 * conflicts: no open, and no lock for reading, depends on what others have.
 */
export class OpenTable implements OpenFiles {
  readonly #options: OpenTableOptions;
  readonly #states = new Map<number, OpenState | LockState>();
  /** Opens by file and owner, locks by open and owner. */
  readonly #byKey = new Map<string, OpenState | LockState>();
  #next = 1;
  #cleared = false;

  constructor(options: OpenTableOptions) {
    this.#options = options;
  }

  /** States that there are. */
  get size(): number {
    return this.#states.size;
  }

  open(file: FileNode, owner: Uint8Array, share: OpenShare): StateId {
    const key = `open ${text(file.handle)} ${ownerKey(owner)}`;
    let state = this.#byKey.get(key);
    if (state?.kind === 'open') {
      state.sequence = next(state.sequence);
      state.deny |= share.deny;
    } else {
      const number = this.#take();
      // Not the node itself: the index of a slice of a large model takes megabytes.
      const { handle, fileId, revision } = file;
      const opened: OpenedFile = { handle, fileId, revision };
      const release = this.#options.hold(opened);
      state = {
        kind: 'open',
        number,
        file: opened,
        key,
        locks: new Set(),
        sequence: 1,
        deny: share.deny,
        release,
      };
      this.#add(state);
    }
    return this.#idOf(state);
  }

  downgrade(id: StateId, file: FileNode, share: OpenShare): StateId {
    const state = this.#openState(id, file);
    // Whatever is open is open for reading, so reading is all that can be left (section 18.18.3).
    if (share.access !== ACCESS_READ || share.deny > DENY_BITS || (share.deny & ~state.deny) !== 0)
      throw new Nfs4Error(NFS4.INVAL);
    state.deny = share.deny;
    state.sequence = next(state.sequence);
    return this.#idOf(state);
  }

  close(id: StateId, file: FileNode): StateId {
    this.#drop(this.#openState(id, file));
    return INVALID_STATE_ID;
  }

  checkRead(id: StateId, file: FileNode): void {
    if (isReadWithoutOpen(id)) return;
    this.#stateFor(id, file);
  }

  /**
   * Locks a range for reading for an owner that has no lock on the file yet, as far as it knows (section
   * 18.10.3).
   *
   * @throws Nfs4Error `BAD_STATEID`, `OLD_STATEID`, `STALE_STATEID`, `NOSPC`, `DELAY`
   */
  lock(openId: StateId, file: FileNode, owner: Uint8Array, range: LockRange): StateId {
    const open = this.#openState(openId, file);
    const key = `lock ${open.number} ${ownerKey(owner)}`;
    let state = this.#byKey.get(key);
    if (state?.kind !== 'lock') {
      state = { kind: 'lock', number: this.#take(), open, key, sequence: 0, held: undefined };
      this.#add(state);
      open.locks.add(state);
    }
    return this.#locked(state, range);
  }

  /** Locks one more range for the owner of a lock. Throws Nfs4Error like {@link lock}. */
  lockMore(id: StateId, file: FileNode, range: LockRange): StateId {
    return this.#locked(this.#lockState(id, file), range);
  }

  /** Gives up a range (section 18.12.3). Throws Nfs4Error `BAD_STATEID`, `OLD_STATEID`, `STALE_STATEID`. */
  unlock(id: StateId, file: FileNode, range: LockRange): StateId {
    const state = this.#lockState(id, file);
    state.held = without(state.held, range);
    state.sequence = next(state.sequence);
    return this.#idOf(state);
  }

  /**
   * Whether the stateid is good now: returns, or throws Nfs4Error `BAD_STATEID`, `OLD_STATEID`,
   * `STALE_STATEID`.
   */
  test(id: StateId): void {
    this.#find(id);
  }

  /**
   * Forgets a state that holds nothing (section 18.38).
   *
   * @throws Nfs4Error `LOCKS_HELD` if it does, and what {@link test} throws
   */
  free(id: StateId): void {
    const state = this.#find(id);
    if (state.kind === 'open' || state.held !== undefined) throw new Nfs4Error(NFS4.LOCKS_HELD);
    this.#drop(state);
  }

  /** Forgets everything, for ever: the client is gone. */
  clear(): void {
    this.#cleared = true;
    this.suspend();
    this.#options.budget.give(this.#states.size);
    this.#states.clear();
    this.#byKey.clear();
  }

  /**
   * The client has not renewed its lease: what it has open may be removed, but it is remembered in case that
   * it comes back.
   */
  suspend(): void {
    for (const state of this.#states.values()) {
      if (state.kind !== 'open') continue;
      state.release?.();
      state.release = undefined;
    }
  }

  /** The client is back. */
  resume(): void {
    for (const state of this.#states.values())
      if (state.kind === 'open') state.release ??= this.#options.hold(state.file);
  }

  /** A number that no state has. */
  #take(): number {
    // What looked a file up while its client was removed would hold it with nobody left to let go.
    if (this.#cleared) throw new Nfs4Error(NFS4.EXPIRED);
    const { max, budget } = this.#options;
    // NFS4ERR_RESOURCE is not for minor versions above 0 (section 15.1.16.3). A client at its own limit has
    // to hear that nothing will help but closing files; when others have taken the room, waiting does.
    if (this.#states.size >= max) throw new Nfs4Error(NFS4.NOSPC);
    if (!budget.take()) throw new Nfs4Error(NFS4.DELAY);
    while (this.#states.has(this.#next)) this.#next = next(this.#next);
    const number = this.#next;
    this.#next = next(number);
    return number;
  }

  #add(state: OpenState | LockState): void {
    this.#states.set(state.number, state);
    this.#byKey.set(state.key, state);
  }

  #drop(state: OpenState | LockState): void {
    this.#states.delete(state.number);
    this.#byKey.delete(state.key);
    this.#options.budget.give();
    if (state.kind === 'lock') state.open.locks.delete(state);
    else {
      // Who closes a file gives up the locks on it: nobody waits for them (section 18.2.3).
      for (const lock of [...state.locks]) this.#drop(lock);
      state.release?.();
    }
  }

  #locked(state: LockState, range: LockRange): StateId {
    state.held = around(state.held, range);
    state.sequence = next(state.sequence);
    return this.#idOf(state);
  }

  #idOf(state: OpenState | LockState): StateId {
    const { boot, client } = this.#options;
    return makeStateId(state.sequence, { boot, client, state: state.number });
  }

  #openState(id: StateId, file: FileNode): OpenState {
    const state = this.#stateFor(id, file);
    if (state.kind !== 'open') throw new Nfs4Error(NFS4.BAD_STATEID);
    return state;
  }

  #lockState(id: StateId, file: FileNode): LockState {
    const state = this.#stateFor(id, file);
    if (state.kind !== 'lock') throw new Nfs4Error(NFS4.BAD_STATEID);
    return state;
  }

  #stateFor(id: StateId, file: FileNode): OpenState | LockState {
    const state = this.#find(id);
    const opened = state.kind === 'open' ? state.file : state.open.file;
    if (Buffer.compare(opened.handle, file.handle) !== 0) throw new Nfs4Error(NFS4.BAD_STATEID);
    return state;
  }

  /** Section 8.2.4. */
  #find(id: StateId): OpenState | LockState {
    if (isSpecialStateId(id)) throw new Nfs4Error(NFS4.BAD_STATEID);
    const parts = stateIdParts(id);
    if (parts.boot !== this.#options.boot) throw new Nfs4Error(NFS4.STALE_STATEID);
    const state = parts.client === this.#options.client ? this.#states.get(parts.state) : undefined;
    if (state === undefined) throw new Nfs4Error(NFS4.BAD_STATEID);
    // Zero asks for the latest; sequences wrap around, so the nearer side tells older from newer (section
    // 8.2.2).
    const ahead = id.sequence === 0 ? 0 : (id.sequence - state.sequence) | 0;
    if (ahead > 0) throw new Nfs4Error(NFS4.BAD_STATEID);
    if (ahead < 0) throw new Nfs4Error(NFS4.OLD_STATEID);
    return state;
  }
}

/** Follows a sequence, leaving out zero. */
function next(sequence: number): number {
  return sequence >= 0xffff_ffff ? 1 : sequence + 1;
}

function ownerKey(owner: Uint8Array): string {
  return owner.byteLength <= MAX_KEY_BYTES
    ? text(owner)
    : `digest ${createHash('sha256').update(owner).digest('base64')}`;
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
