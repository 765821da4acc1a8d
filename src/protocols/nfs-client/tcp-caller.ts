import { connect, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';
import { abortReason } from '../../core/clock.js';
import { XdrError } from '../xdr/xdr-error.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import { XdrWriter } from '../xdr/xdr-writer.js';
import { RecordAssembler } from './record-assembler.js';
import type { RemoteProcedure, RpcCaller } from './rpc-caller.js';

/** Where to connect to. */
export interface TcpCallerOptions {
  readonly host: string;
  readonly port: number;
  /** Source port, for servers that trust those below 1024; a free one if not given. */
  readonly localPort?: number;
}

const CALL = 0;
const REPLY = 1;
const RPC_VERSION = 2;
const AUTH_NONE = 0;
const AUTH_SYS = 1;
const LAST_FRAGMENT = 0x8000_0000;
const MAX_AUTH_BYTES = 400;
/** Of accepted replies that are none (RFC 5531, section 9). */
const ACCEPT_ERRORS: readonly string[] = [
  '',
  'no such program',
  'no such version',
  'no such procedure',
  'garbage arguments',
  'system error',
];

interface Waiter {
  resolve(reader: XdrReader): void;
  reject(error: Error): void;
}

/** Calls procedures (RFC 5531) over one TCP connection with AUTH_SYS as user 0. */
export class TcpCaller implements RpcCaller {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, Waiter>();
  #xid = 1;
  #failure: CalyxError | undefined;

  /** Connects; throws CalyxError `unavailable` that says what to check, and the signal's reason. */
  static async connect(options: TcpCallerOptions, signal: AbortSignal): Promise<TcpCaller> {
    signal.throwIfAborted();
    const { host, port, localPort } = options;
    const socket = connect({ host, port, noDelay: true, ...(localPort === undefined ? {} : { localPort }) });
    await new Promise<void>((resolve, reject) => {
      const onAbort = (): void => {
        socket.destroy();
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('connect', () => {
        signal.removeEventListener('abort', onAbort);
        resolve();
      });
      socket.once('error', (error) => {
        signal.removeEventListener('abort', onAbort);
        reject(connectError(options, error));
      });
    });
    return new TcpCaller(socket, `${host}:${port}`);
  }

  private constructor(socket: Socket, name: string) {
    this.#socket = socket;
    const records = new RecordAssembler((record) => this.#take(record));
    socket.on('data', (chunk: Buffer) => {
      try {
        records.add(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : undefined);
      }
    });
    socket.on('error', (error) => this.#fail(`the connection to ${name} failed: ${error.message}`));
    socket.on('close', () => this.#fail(`${name} closed the connection`));
  }

  /** Our own address of the connection. */
  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  get remoteAddress(): string | undefined {
    return this.#socket.remoteAddress;
  }

  call(
    procedure: RemoteProcedure,
    encodeArguments: (writer: XdrWriter) => void,
    signal: AbortSignal,
  ): Promise<XdrReader> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (signal.aborted) return Promise.reject(abortReason(signal));
    const xid = this.#xid;
    this.#xid = (this.#xid + 1) >>> 0;
    this.#send(xid, procedure, encodeArguments);
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.delete(xid);
        reject(abortReason(signal));
      };
      signal.addEventListener('abort', onAbort, { once: true });
      const settle =
        <T>(done: (value: T) => void) =>
        (value: T): void => {
          signal.removeEventListener('abort', onAbort);
          done(value);
        };
      this.#waiting.set(xid, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(
    xid: number,
    { program, version, procedure }: RemoteProcedure,
    encode: (writer: XdrWriter) => void,
  ): void {
    const writer = new XdrWriter();
    const mark = writer.laterUint32();
    for (const word of [xid, CALL, RPC_VERSION, program, version, procedure, AUTH_SYS]) writer.uint32(word);
    const credential = new XdrWriter();
    credential.uint32(0);
    credential.opaque(Buffer.from(hostname()).subarray(0, 255));
    for (const word of [0, 0, 0]) credential.uint32(word);
    writer.opaque(Buffer.concat(credential.finish().buffers));
    writer.uint32(AUTH_NONE);
    writer.uint32(0);
    encode(writer);
    mark((writer.byteLength - 4 + LAST_FRAGMENT) >>> 0);
    this.#socket.write(Buffer.concat(writer.finish().buffers));
  }

  #take(record: Uint8Array): void {
    const reader = new XdrReader(record);
    const xid = reader.uint32();
    const waiter = this.#waiting.get(xid);
    // Nobody waits any more.
    if (waiter === undefined) return;
    this.#waiting.delete(xid);
    try {
      readReplyHeader(reader);
      waiter.resolve(reader);
    } catch (error) {
      waiter.reject(
        error instanceof XdrError
          ? new CalyxError('unavailable', `the server's reply is malformed: ${error.message}`, {
              cause: error,
            })
          : (error as Error),
      );
    }
  }

  #fail(message: string): void {
    this.#failure ??= new CalyxError('unavailable', message);
    for (const waiter of this.#waiting.values()) waiter.reject(this.#failure);
    this.#waiting.clear();
  }
}

/** Reads up to the result; throws CalyxError for a call that was denied or not understood. */
function readReplyHeader(reader: XdrReader): void {
  if (reader.uint32() !== REPLY) throw new XdrError('no reply');
  if (reader.uint32() !== 0)
    throw new CalyxError('refused', 'the server denies the call', {
      hint: 'ask for this address to be allowed (calyx store --nfs --allow); with --privileged-ports, run this as root',
    });
  reader.uint32();
  reader.opaque(MAX_AUTH_BYTES);
  const status = reader.uint32();
  if (status !== 0)
    throw new CalyxError('unsupported', `the server answers: ${ACCEPT_ERRORS[status] ?? `status ${status}`}`);
}

function connectError({ host, port }: TcpCallerOptions, error: Error): CalyxError {
  const where = `${host}:${port}`;
  const code = systemCode(error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new CalyxError('unavailable', `the name ${host} has no address`, {
      hint: 'check the name, and /etc/resolv.conf',
      cause: error,
    });
  return new CalyxError('unavailable', `no NFS server answers at ${where}: ${code ?? errorMessage(error)}`, {
    hint: 'check that calyx store runs with --nfs on that address and port, and that no firewall is between',
    cause: error,
  });
}
