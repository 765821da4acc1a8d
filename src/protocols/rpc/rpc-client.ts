import type { Socket } from 'node:net';
import { randomBytes } from 'node:crypto';
import { abortReason } from '../../core/clock.js';
import { CalyxError, errorMessage } from '../../core/errors.js';
import type { Codec } from '../xdr/codec.js';
import { XdrError } from '../xdr/xdr-error.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import { writeCallHeader } from './call-header.js';
import { CONNECT_TIMEOUT_MS, connectSocket, type ConnectOptions } from './connect-socket.js';
import { writeCredential } from './credentials.js';
import { RecordReader } from './record-reader.js';
import { MessageWriter } from './reply-header.js';
import { readReplyHeader } from './reply-reader.js';
import { MessageType } from './rpc-protocol.js';
import type { RpcCredential } from './rpc-program.js';
import { startTls, type ClientTls } from './start-tls.js';

export interface RpcClientOptions extends ConnectOptions {
  /** The longest reply that is accepted. @default 4 MiB */
  readonly maxRecordBytes?: number;
  /** Begins TLS before the first call. @default no TLS */
  readonly tls?: ClientTls | undefined;
}

/** Options of {@link RpcClient.call}. */
export interface RpcCallOptions {
  /** @default none */
  readonly credential?: RpcCredential;
  readonly signal?: AbortSignal;
  /** @default 30_000 */
  readonly timeoutMs?: number;
}

interface Waiting {
  readonly what: string;
  answer(reader: XdrReader): void;
  fail(error: Error): void;
}

const MAX_RECORD_BYTES = 4 * 1024 * 1024;
const CALL_TIMEOUT_MS = 30_000;

/**
 * Calls procedures of one server over one connection, as many at once as one likes.
 *
 * @example
 * const client = await RpcClient.connect({ host: 'store', port: 2049 });
 * await client.call(100_003, 3, 0, nothing, undefined, nothing);
 * client.close();
 */
export class RpcClient {
  /** Names the server in errors. */
  readonly server: string;
  readonly #socket: Socket;
  readonly #records: RecordReader;
  readonly #waiting = new Map<number, Waiting>();
  #xid = randomBytes(4).readUInt32BE();
  #broken: CalyxError | undefined;

  private constructor(socket: Socket, { host, port, maxRecordBytes = MAX_RECORD_BYTES }: RpcClientOptions) {
    this.server = `${host}:${port}`;
    this.#socket = socket;
    this.#records = new RecordReader(maxRecordBytes);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#break('unavailable', `lost the connection: ${error.message}`, error));
    socket.on('close', () => this.#break('unavailable', 'closed the connection'));
  }

  /**
   * Throws CalyxError `unavailable`, `timeout`, or `refused` if there is no privileged port, or the signal's reason; and with TLS as
   * {@link startTls} does.
   */
  static async connect(options: RpcClientOptions): Promise<RpcClient> {
    const { tls, timeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
    const socket = await connectSocket(options);
    if (tls === undefined) return new RpcClient(socket, options);
    const deadline = AbortSignal.timeout(timeoutMs);
    const both = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    const server = `${options.host}:${options.port}`;
    try {
      return new RpcClient(await startTls(socket, server, tls, both), options);
    } catch (error) {
      if (!deadline.aborted || signal?.aborted === true) throw error;
      throw new CalyxError('timeout', `${server} did not begin TLS within ${timeoutMs / 1000} s`, {
        cause: error,
      });
    }
  }

  /**
   * Calls a procedure. What is decoded as bytes are views of the reply.
   *
   * @throws CalyxError that names the server and what it answered: `unavailable` or `timeout` if it did not, `unsupported`, `refused` (see
   * {@link readReplyHeader}), `corrupt` if it is no valid reply; or the signal's reason
   */
  call<Args, Result>(
    program: number,
    version: number,
    procedure: number,
    argsCodec: Codec<Args>,
    args: Args,
    resultCodec: Codec<Result>,
    options: RpcCallOptions = {},
  ): Promise<Result> {
    const { signal, timeoutMs = CALL_TIMEOUT_MS } = options;
    const what = `procedure ${procedure} of program ${program} version ${version}`;
    return new Promise<Result>((resolve, reject) => {
      if (this.#broken !== undefined) throw this.#broken;
      if (signal?.aborted === true) throw abortReason(signal);
      const xid = this.#nextXid();
      const writer = new MessageWriter();
      writeCallHeader(writer, {
        xid,
        program,
        version,
        procedure,
        ...writeCredential(options.credential ?? { flavor: 'none' }),
      });
      argsCodec.encode(writer, args);

      const settle = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#waiting.delete(xid);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      const onAbort = (): void => fail(signal === undefined ? new Error() : abortReason(signal));
      const timer = setTimeout(() => {
        fail(new CalyxError('timeout', `${this.server} did not answer ${what} within ${timeoutMs / 1000} s`));
      }, timeoutMs);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiting.set(xid, {
        what,
        answer: (reader) => {
          readReplyHeader(reader, this.server, what);
          const result = resultCodec.decode(reader);
          reader.end();
          settle();
          resolve(result);
        },
        fail,
      });
      this.#send(writer);
    });
  }

  /** Closes the connection; calls under way fail. */
  close(): void {
    this.#break('aborted', 'was left by us');
  }

  #send(writer: MessageWriter): void {
    const written = writer.finishRecord();
    let left = written.buffers.length;
    this.#socket.cork();
    for (const buffer of written.buffers)
      this.#socket.write(buffer, () => {
        left -= 1;
        if (left === 0) written.release();
      });
    this.#socket.uncork();
  }

  #receive(chunk: Buffer): void {
    try {
      this.#records.push(chunk);
      for (let record = this.#records.next(); record !== undefined; record = this.#records.next())
        this.#take(new XdrReader(record));
    } catch (error) {
      this.#break('corrupt', `sent what is no RPC message: ${errorMessage(error)}`, error);
    }
  }

  #take(reader: XdrReader): void {
    const xid = reader.uint32();
    // A call to us is not answered: we have no programs.
    if (reader.uint32() !== MessageType.REPLY) return;
    const waiting = this.#waiting.get(xid);
    // Nobody waits for a reply that comes after its deadline.
    if (waiting === undefined) return;
    try {
      waiting.answer(reader);
    } catch (error) {
      waiting.fail(this.#replyError(waiting.what, error));
    }
  }

  #replyError(what: string, error: unknown): Error {
    if (error instanceof XdrError)
      return new CalyxError('corrupt', `${this.server} sent an invalid reply to ${what}: ${error.message}`, {
        cause: error,
      });
    return error instanceof Error ? error : new Error(errorMessage(error));
  }

  #nextXid(): number {
    do this.#xid = (this.#xid + 1) >>> 0;
    while (this.#waiting.has(this.#xid));
    return this.#xid;
  }

  #break(code: 'unavailable' | 'corrupt' | 'aborted', what: string, cause?: unknown): void {
    if (this.#broken !== undefined) return;
    this.#broken = new CalyxError(code, `${this.server} ${what}`, cause === undefined ? {} : { cause });
    this.#socket.destroy();
    for (const waiting of [...this.#waiting.values()]) waiting.fail(this.#broken);
  }
}
