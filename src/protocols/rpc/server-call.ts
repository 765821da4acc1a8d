import type { Written } from '../xdr/xdr-writer.js';
import type { Arrival } from './record-reader.js';
import type { ReplyShare } from './reply-budget.js';
import type { Outgoing } from './reply-sender.js';
import type { RpcCall, RpcConnection, RpcCredential } from './rpc-program.js';

/** What a call needs of the connection on which it came. */
export interface CallHost extends RpcConnection {
  readonly share: ReplyShare;
  /** The call is over: its reply is sent or dropped. */
  finished(): void;
}

const NOBODY: RpcCredential = { flavor: 'none' };

/** A call from its arrival until its reply is gone. */
export class ServerCall implements RpcCall, Outgoing {
  readonly connection: CallHost;
  readonly xid: number;
  /** Where its arguments stand. */
  readonly arrival: Arrival;
  credential = NOBODY;
  argumentBytes = 0;
  #asked = false;
  #reserved = 0;
  #written: Written | undefined;

  constructor(connection: CallHost, xid: number, arrival: Arrival) {
    this.connection = connection;
    this.xid = xid;
    this.arrival = arrival;
  }

  get signal(): AbortSignal {
    return this.connection.signal;
  }

  reserve(bytes: number): undefined | Promise<void> {
    const { share } = this.connection;
    if (this.#asked) {
      this.#reserved += bytes;
      share.count(bytes);
      return undefined;
    }
    this.#asked = true;
    const turn = share.take(bytes);
    if (turn === undefined) {
      this.#reserved += bytes;
      return undefined;
    }
    return turn.then(() => void (this.#reserved += bytes));
  }

  /** The reply is made: from now on it counts with what it really takes. */
  answered(written: Written): void {
    this.#written = written;
    this.connection.share.count(written.byteLength - this.#reserved);
    this.#reserved = written.byteLength;
  }

  gone(): void {
    this.#written?.release();
    this.#written = undefined;
    const reserved = this.#reserved;
    this.#reserved = 0;
    this.connection.share.count(-reserved);
    this.connection.finished();
  }
}
