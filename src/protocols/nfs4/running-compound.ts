import type { FileTree, TreeNode } from '../../catalog/file-tree.js';
import type { NfsExports } from '../nfs/exports.js';
import type { RpcCall, RpcCredential } from '../rpc/rpc-program.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import { checkPosition, OP, operationFor } from './dispatch.js';
import { operationError } from './errors.js';
import type { Operation } from './operation.js';
import { requestDigest } from './request-digest.js';
import type { SequenceState, SessionCompound } from './session-compound.js';
import { Replay } from './sessions/sequence.js';
import type { Client } from './state/client.js';
import type { ServerState } from './state/server-state.js';
import type { StateId } from './state-id.js';
import { NFS4, type Nfs4Status } from './status.js';

/** Of an accepted reply before its result, with the verifier of AUTH_NONE (RFC 5531, section 9). */
const REPLY_HEADER_BYTES = 24;
/** The number of an operation. */
const WORD_BYTES = 4;
/** The number and the status of an operation that failed; so much is left for each that follows. */
const FAILURE_BYTES = 8;
/** Of a reply outside of a session. */
const MAX_BYTES_WITHOUT_SESSION = 8192;

/** What a {@link RunningCompound} works with. */
export interface CompoundFields {
  readonly state: ServerState;
  readonly exports: NfsExports;
  readonly call: RpcCall;
  readonly tree: FileTree;
  readonly minorVersion: 1 | 2;
  readonly operations: number;
  /** The arguments of the call. */
  readonly request: Uint8Array;
  /** Where in them the first operation begins. */
  readonly reader: XdrReader;
  readonly result: XdrWriter;
  /** Bytes that were in `result` before. */
  readonly start: number;
}

/** One COMPOUND while its operations are done. */
export class RunningCompound implements SessionCompound {
  readonly state: ServerState;
  readonly exports: NfsExports;
  readonly call: RpcCall;
  readonly tree: FileTree;
  readonly minorVersion: 1 | 2;
  readonly operations: number;
  readonly principal: string;
  client: Client | undefined;
  sequence: SequenceState | undefined;
  current: TreeNode | undefined;
  saved: TreeNode | undefined;
  currentStateId: StateId | undefined;
  savedStateId: StateId | undefined;
  position = 0;
  #reservedAll = false;
  readonly #request: Uint8Array;
  readonly #firstAt: number;
  readonly #reader: XdrReader;
  readonly #result: XdrWriter;
  readonly #start: number;

  constructor(fields: CompoundFields) {
    this.state = fields.state;
    this.exports = fields.exports;
    this.call = this.#reserving(fields.call);
    this.tree = fields.tree;
    this.minorVersion = fields.minorVersion;
    this.operations = fields.operations;
    this.principal = principalOf(fields.call.credential);
    this.#request = fields.request;
    this.#firstAt = fields.reader.position;
    this.#reader = fields.reader;
    this.#result = fields.result;
    this.#start = fields.start;
  }

  room(): number {
    const last = this.position + 1 >= this.operations;
    return Math.max(0, this.#limit() - this.#used() - (last ? 0 : FAILURE_BYTES));
  }

  requestDigest(): number {
    const before = this.#request.subarray(0, this.#firstAt);
    const after = this.#request.subarray(this.#reader.position);
    return requestDigest([Buffer.from(this.principal), before, after]);
  }

  /** Does the operations. Throws Replay, what the writer throws, and XdrError if bytes follow the last one. */
  async run(): Promise<{ readonly status: Nfs4Status; readonly count: number }> {
    for (this.position = 0; this.position < this.operations; this.position += 1) {
      // Not even a number is left: there is no operation that a result could be of.
      if (this.#reader.remaining < WORD_BYTES) return { status: NFS4.BADXDR, count: this.position };
      const status = await this.#next();
      if (status !== NFS4.OK) return { status, count: this.position + 1 };
    }
    // What follows is no COMPOUND; there is no operation whose result could say so.
    this.#reader.end();
    return { status: NFS4.OK, count: this.operations };
  }

  /** The reply is whole: keeps it if the client asked for that. */
  end(): void {
    if (this.sequence === undefined) return;
    const { slot, keep } = this.sequence;
    if (keep) slot.end(this.#result.copyFrom(this.#start));
    // The client never gets this reply and will ask again. Nothing here cannot be done twice, so that is
    // better than not to have it.
    else if (this.call.signal.aborted) slot.undo();
    else slot.end(undefined);
  }

  /** There will be no reply. */
  abandon(): void {
    this.sequence?.slot.undo();
  }

  /** Does one operation, writes its result, and returns its status. */
  async #next(): Promise<Nfs4Status> {
    const number = this.#reader.uint32();
    const operation = operationFor(number, this.minorVersion);
    this.#result.uint32(operation === undefined ? OP.ILLEGAL : number);
    const setStatus = this.#result.laterUint32();
    const status = operation === undefined ? NFS4.OP_ILLEGAL : await this.#call(number, operation);
    setStatus(status);
    // What follows may wait for buffers, and must not hold any meanwhile.
    if (this.position + 1 < this.operations) this.#result.keepPayloads();
    return status;
  }

  async #call(number: number, operation: Operation<SessionCompound>): Promise<Nfs4Status> {
    const mark = this.#result.byteLength;
    const fail = (status: Nfs4Status): Nfs4Status => {
      this.#result.rewind(mark);
      operation.failure?.(this.#result);
      return status;
    };
    try {
      checkPosition(number, this.position, this.operations);
      const called = operation.call(this.#reader, this.#result, this);
      const status = called instanceof Promise ? await called : called;
      if (status !== NFS4.OK || this.#fits()) return status;
    } catch (error) {
      if (error instanceof Replay) throw error;
      return fail(operationError(error, operation.name, this).status);
    }
    const kept = this.sequence?.keep === true && this.#used() <= this.sequence.session.fore.maxResponseBytes;
    if (this.position === 0) this.#forgetSequence();
    return fail(kept ? NFS4.REP_TOO_BIG_TO_CACHE : NFS4.REP_TOO_BIG);
  }

  /** SEQUENCE has failed after all. */
  #forgetSequence(): void {
    this.sequence?.slot.undo();
    this.sequence = undefined;
    this.client = undefined;
  }

  /**
   * Only the first question for room may wait, so an operation that others follow asks for all that the rest of the reply may take:
   * else, after a READ of one byte, more of them could take any amount of memory without waiting.
   */
  #reserving(call: RpcCall): RpcCall {
    const { connection, credential, xid, argumentBytes, signal } = call;
    const reserve = (bytes: number): undefined | Promise<void> => {
      if (this.#reservedAll) return undefined;
      if (this.position + 1 >= this.operations) return call.reserve(bytes);
      this.#reservedAll = true;
      return call.reserve(Math.max(bytes, this.room()));
    };
    return { connection, credential, xid, argumentBytes, signal, reserve };
  }

  #fits(): boolean {
    const last = this.position + 1 >= this.operations;
    return this.#used() + (last ? 0 : FAILURE_BYTES) <= this.#limit();
  }

  #used(): number {
    return REPLY_HEADER_BYTES + this.#result.byteLength - this.#start;
  }

  #limit(): number {
    if (this.sequence === undefined) return MAX_BYTES_WITHOUT_SESSION;
    const { keep, session } = this.sequence;
    const { maxResponseBytes, maxCachedBytes } = session.fore;
    return keep ? Math.min(maxResponseBytes, maxCachedBytes) : maxResponseBytes;
  }
}

/** The user whom a caller claims to act for; machine names and groups may change while a client runs. */
function principalOf(credential: RpcCredential): string {
  return credential.flavor === 'none' ? 'none' : `sys ${credential.uid}`;
}
