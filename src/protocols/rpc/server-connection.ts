import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';
import { CalyxError } from '../../core/errors.js';
import { XdrError } from '../xdr/xdr-error.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import { CredentialReader } from './credentials.js';
import { RecordReader, type Arrival } from './record-reader.js';
import type { ReplyShare } from './reply-budget.js';
import { acceptedReply, failedReply, MessageWriter } from './reply-header.js';
import { ReplySender } from './reply-sender.js';
import { routeCall, type Routes } from './route-call.js';
import { AcceptStatus, MessageType } from './rpc-protocol.js';
import type { RpcPeer, RpcProcedure } from './rpc-program.js';
import { ServerCall, type CallHost } from './server-call.js';
import type { ConnectionParts, ServerContext } from './server-context.js';

/** Records up to this length always have room; longer ones share a bound. */
const SMALL_RECORD_BYTES = 64 * 1024;
/** Message type and xid. */
const MIN_MESSAGE_BYTES = 8;

/** One client: reads its calls as long as there is room for them, runs them concurrently, and answers each when it is finished. */
export class ServerConnection implements CallHost {
  readonly peer: RpcPeer;
  readonly share: ReplyShare;
  readonly #gone = new AbortController();
  readonly #socket: Socket;
  /** Of TCP, if the socket encrypts. */
  readonly #transport: Socket;
  readonly #context: ServerContext;
  readonly #routes: Routes;
  readonly #records: RecordReader;
  readonly #sender: ReplySender;
  #calls = 0;
  #argumentBytes = 0;
  /** What the record that is being collected counts among the long ones. */
  #collecting = 0;
  #reading = false;
  #paused = false;
  #woken = false;
  #closing = false;
  /** The answer to the probe is on its way: nothing that comes from now on is a call. */
  #startingTls = false;
  #handedOver = false;

  constructor(parts: ConnectionParts, context: ServerContext) {
    const { socket, peer, admitted, secured, offersTls } = parts;
    this.peer = peer;
    this.#socket = socket;
    this.#context = context;
    this.share = context.replies.share();
    this.#transport = parts.transport ?? socket;
    this.#sender = new ReplySender(socket, this.#transport);
    const told = { true: false, false: false };
    this.#routes = {
      programs: context.programs,
      admitted,
      secured,
      credentials: new CredentialReader(),
      offersTls,
      onEntry: (allowed) => {
        if (told[`${allowed}`]) return;
        told[`${allowed}`] = true;
        context.onEntry(peer, allowed);
      },
    };
    const { maxRecordBytes } = context.limits;
    this.#records = new RecordReader(
      this.admitted ? maxRecordBytes : Math.min(maxRecordBytes, SMALL_RECORD_BYTES),
    );
    // As many calls as there may be listen to it.
    setMaxListeners(0, this.#gone.signal);
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    // A client that went away without a word is nothing to report; 'close' follows.
    socket.on('error', () => undefined);
    socket.on('close', this.#onClose);
  }

  get signal(): AbortSignal {
    return this.#gone.signal;
  }

  /** Calls whose replies are not sent yet. */
  get calls(): number {
    return this.#calls;
  }

  /** False for one that gets an answer to hardly anything. */
  get admitted(): boolean {
    return this.#routes.admitted && this.#routes.secured;
  }

  get midRecord(): boolean {
    return this.#records.midRecord;
  }

  /** True if the server itself does not want to read now. */
  get paused(): boolean {
    return this.#paused;
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  /** Of the replies; undefined if none is on its way. See {@link ReplySender.progress}. */
  get writeProgress(): string | undefined {
    return this.#sender.pending === 0 ? undefined : this.#sender.progress;
  }

  /** Closes at once; what is reported is why, unless there is nothing wrong. */
  drop(reason?: CalyxError): void {
    if (this.#socket.destroyed) return;
    if (reason !== undefined) this.#context.onError('client dropped', this.peer, reason);
    this.#socket.destroy();
  }

  /** Closes with a reset: what the kernel still holds for a reader that takes its time is not sent any more. */
  cut(): void {
    if (!this.#transport.destroyed) this.#transport.resetAndDestroy();
    this.#socket.destroy();
  }

  /** Reads no more, and closes when the calls under way are answered. */
  finish(): void {
    this.#closing = true;
    this.#read();
  }

  finished(): void {
    this.#calls -= 1;
    if (this.#woken || !(this.#paused || this.#closing)) return;
    this.#woken = true;
    // Once for all replies that went out together.
    queueMicrotask(() => {
      this.#woken = false;
      this.#read();
    });
  }

  /** Takes calls out of what has arrived while there is room for them, and asks for more if that was all. */
  readonly #read = (): void => {
    if (this.#reading || this.#handedOver || this.#socket.destroyed) return;
    this.#reading = true;
    let drained = false;
    // What is answered at once goes out together.
    this.#socket.cork();
    try {
      while (!drained && this.#hasRoom()) {
        const record = this.#records.next();
        if (record === undefined) drained = true;
        else this.#take(record, this.#records.arrival);
      }
      this.#countCollected();
    } catch (error) {
      this.drop(
        error instanceof CalyxError
          ? error
          : new CalyxError('internal', 'failed to read a call', { cause: error }),
      );
    } finally {
      this.#reading = false;
      this.#socket.uncork();
    }
    this.#goOn(drained);
  };

  #goOn(drained: boolean): void {
    if (this.#socket.destroyed) return;
    if (this.#closing && this.#calls === 0) this.#socket.destroySoon();
    else if (!drained && !this.#paused) {
      this.#paused = true;
      this.#socket.pause();
    } else if (drained && this.#paused) {
      this.#paused = false;
      this.#socket.resume();
    }
  }

  #hasRoom(): boolean {
    const { limits, callBytes } = this.#context;
    if (this.#startingTls) return false;
    if (this.#closing || this.#calls >= limits.maxCalls || this.#argumentBytes >= limits.maxArgumentBytes)
      return false;
    // Replies count also if nobody asked for their room before.
    if (this.share.used >= 2 * limits.maxReplyBytes) return false;
    if (!callBytes.full) return true;
    callBytes.wait(this.#read);
    return false;
  }

  /** A long record may grow only while there is room for it. */
  #countCollected(): void {
    const { longRecordBytes } = this.#context;
    const bytes = this.#records.collecting;
    const counts = bytes > SMALL_RECORD_BYTES ? bytes : 0;
    const more = counts - this.#collecting;
    if (more === 0) return;
    if (more > 0 && longRecordBytes.full)
      throw new CalyxError('busy', `no room for a call of more than ${SMALL_RECORD_BYTES} bytes`);
    this.#collecting = counts;
    longRecordBytes.count(more);
  }

  #take(record: Uint8Array, arrival: Arrival): void {
    if (record.byteLength < MIN_MESSAGE_BYTES)
      throw new CalyxError('corrupt', `a record of ${record.byteLength} bytes, which is no RPC message`);
    const reader = new XdrReader(record);
    const xid = reader.uint32();
    const type = reader.uint32();
    if (type === MessageType.REPLY) {
      this.#context.onReply(this, record);
      return;
    }
    if (type !== MessageType.CALL) throw new CalyxError('corrupt', `a message of type ${type}`);
    const call = new ServerCall(this, xid, arrival);
    this.#calls += 1;
    arrival.calls += 1;
    if (arrival.calls === 1) this.#countArguments(arrival.bytes);
    const route = routeCall(reader, xid, this.#routes);
    if (route instanceof MessageWriter) {
      this.#answer(call, route);
      return;
    }
    if ('startTls' in route) {
      this.#startTls(call, route.startTls);
      return;
    }
    call.credential = route.credential;
    call.argumentBytes = reader.remaining;
    this.#run(call, route.procedure, reader);
  }

  /**
   * What came in the clear must never pass for something that TLS protected, and no reply may go out in the clear after TLS has begun. So
   * the probe has to come alone.
   */
  #startTls(call: ServerCall, reply: MessageWriter): void {
    this.#startingTls = true;
    if (this.#calls > 1 || !this.#records.drained)
      this.drop(new CalyxError('corrupt', 'it sent other calls around its probe for TLS'));
    this.#answer(call, reply, () => this.#handOver());
  }

  #handOver(): void {
    const socket = this.#socket;
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    this.#handedOver = true;
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
    this.#retire();
    this.#context.onStartTls(this, socket);
  }

  #run(call: ServerCall, procedure: RpcProcedure, args: XdrReader): void {
    const reply = acceptedReply(call.xid);
    try {
      const running = procedure.call(args, reply, call);
      if (running instanceof Promise)
        running.then(
          () => this.#answer(call, reply),
          (error: unknown) => this.#fail(call, procedure, reply, error),
        );
      else this.#answer(call, reply);
    } catch (error) {
      this.#fail(call, procedure, reply, error);
    }
  }

  #fail(call: ServerCall, procedure: RpcProcedure, reply: XdrWriter, error: unknown): void {
    reply.finish().release();
    const garbage = error instanceof XdrError;
    if (!garbage && !this.signal.aborted) this.#context.onError(procedure.name, this.peer, error);
    this.#answer(call, failedReply(call.xid, garbage ? AcceptStatus.GARBAGE_ARGS : AcceptStatus.SYSTEM_ERR));
  }

  #answer(call: ServerCall, reply: MessageWriter, whenSent?: () => void): void {
    call.arrival.calls -= 1;
    if (call.arrival.calls === 0) this.#countArguments(-call.arrival.bytes);
    const written = reply.finishRecord();
    call.answered(written);
    if (whenSent === undefined) this.#sender.send(written.buffers, call);
    else
      this.#sender.send(written.buffers, {
        gone: () => {
          call.gone();
          whenSent();
        },
      });
  }

  #countArguments(bytes: number): void {
    this.#argumentBytes += bytes;
    this.#context.callBytes.count(bytes);
  }

  /** Nobody waits for the answers to calls under way any more. */
  #abandon(): void {
    this.#gone.abort(new CalyxError('aborted', `the connection of ${this.peer.address} is gone`));
    this.share.close();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#records.push(chunk);
    this.#read();
  };

  /** As a kernel server has it: who sends no more waits for no more answers. Those that are on their way still go out. */
  readonly #onEnd = (): void => {
    this.#abandon();
    this.#socket.destroySoon();
  };

  readonly #onClose = (): void => {
    this.#retire();
    this.#context.onClose(this);
  };

  /** Gives back what it has of the server. */
  #retire(): void {
    this.#context.callBytes.forget(this.#read);
    this.#context.longRecordBytes.count(-this.#collecting);
    this.#collecting = 0;
    this.#abandon();
    this.#sender.close();
  }
}
