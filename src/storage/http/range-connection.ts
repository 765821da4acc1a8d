import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { TlsTrust } from './server-trust.js';
import { parseAnswerHead, type AnswerHead } from './http-head.js';

/** The longest head of an answer; those of stores have about 400 bytes. */
const MAX_HEAD_BYTES = 16 * 1024;

/** What the body of an answer turned out to be. */
export interface RangeAnswer {
  readonly head: AnswerHead;
  /** Bytes of the body that are in the buffer; all of them if it is a `206` that fits the buffer, else 0. */
  readonly received: number;
  /** What `content-length` says; undefined if the answer tells its end in another way. */
  readonly contentLength: number | undefined;
}

/** Where a connection goes. */
export interface RangeServer {
  readonly host: string;
  readonly port: number;
  /** Undefined for `http:`. */
  readonly tls?: TlsTrust | undefined;
}

/** Nothing came for too long. */
export class StalledError extends Error {}

interface Exchange {
  /** The head of the request; undefined once it is on its way. */
  request: string | undefined;
  readonly target: Uint8Array;
  readonly resolve: (answer: RangeAnswer) => void;
  readonly reject: (error: Error) => void;
  head: AnswerHead | undefined;
  contentLength: number;
  received: number;
}

/**
 * A connection for range requests, one at a time. The kernel's bytes arrive where the caller wants them: no buffer is
 * allocated for them and none is copied (over TLS: none but by OpenSSL), which is what most of the time of a general client goes into at this rate.
 */
export class RangeConnection {
  readonly #socket: Socket;
  readonly #scratch = Buffer.allocUnsafeSlow(MAX_HEAD_BYTES);
  #headBytes = Buffer.alloc(0);
  #exchange: Exchange | undefined;
  readonly #onEnd: (connection: RangeConnection) => void;
  /** False while TLS has not shown whose the server is; no request is written before that. */
  #trusted: boolean;
  #ended = false;

  /**
   * @param stallMs longest wait for the connection, for an answer or for its next byte; an idle connection is closed then
   * @param onEnd called once when it can no longer be used
   */
  constructor(
    { host, port, tls }: RangeServer,
    stallMs: number,
    onEnd: (connection: RangeConnection) => void,
  ) {
    this.#trusted = tls === undefined;
    const options = {
      host,
      port,
      noDelay: true,
      onread: {
        buffer: () => this.#nextBuffer(),
        callback: (length: number, buffer: Uint8Array) => {
          this.#onBytes(buffer.subarray(0, length));
          return true;
        },
      },
    };
    this.#socket = tls === undefined ? connect(options) : connectTls({ ...options, ...tls });
    // Only for a certificate that was verified: a socket with another one is destroyed instead.
    this.#socket.once('secureConnect', () => {
      this.#trusted = true;
      this.#send();
    });
    this.#onEnd = onEnd;
    this.#socket.setTimeout(stallMs, () => this.destroy(new StalledError(`nothing came for ${stallMs} ms`)));
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('end', () => this.destroy(new Error('the other side closed the connection')));
    this.#socket.on('close', () => this.destroy(new Error('the connection was closed')));
  }

  /** True if it can take no further request. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Sends a request and receives the body of a `206` with `content-length` into `target`. After any other answer the connection
   * ends, and its body is not waited for.
   *
   * @param request the head of the request, complete
   */
  exchange(request: string, target: Uint8Array): Promise<RangeAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#ended) throw new Error('the connection was closed');
      this.#exchange = { request, target, resolve, reject, head: undefined, contentLength: 0, received: 0 };
      this.#send();
    });
  }

  /** Ends it; what is under way fails, and its buffer is no longer written to. */
  destroy(reason: Error): void {
    this.#socket.destroy();
    if (!this.#ended) this.#onEnd(this);
    this.#ended = true;
    this.#take()?.reject(reason);
  }

  #send(): void {
    const request = this.#exchange?.request;
    if (this.#exchange === undefined || request === undefined || !this.#trusted) return;
    this.#exchange.request = undefined;
    this.#socket.write(request, 'latin1');
  }

  #nextBuffer(): Uint8Array {
    const exchange = this.#exchange;
    return exchange?.head === undefined
      ? this.#scratch
      : exchange.target.subarray(exchange.received, exchange.contentLength);
  }

  #onBytes(bytes: Uint8Array): void {
    const exchange = this.#exchange;
    if (exchange === undefined || exchange.request !== undefined) {
      this.destroy(new Error('it sent more bytes than it had announced'));
      return;
    }
    if (exchange.head === undefined) {
      this.#onHeadBytes(exchange, bytes);
      return;
    }
    exchange.received += bytes.byteLength;
    if (exchange.received === exchange.contentLength) this.#finish(exchange, exchange.head);
  }

  #onHeadBytes(exchange: Exchange, bytes: Uint8Array): void {
    const all = Buffer.concat([this.#headBytes, bytes]);
    const end = all.indexOf('\r\n\r\n');
    if (end < 0) {
      this.#headBytes = all;
      if (all.byteLength > MAX_HEAD_BYTES) this.destroy(new Error('the head of its answer is too long'));
      return;
    }
    this.#headBytes = Buffer.alloc(0);
    const head = parseAnswerHead(all.toString('latin1', 0, end));
    if (head === undefined) {
      this.destroy(new Error('its answer is not HTTP/1.1'));
      return;
    }
    const body = all.subarray(end + 4);
    const contentLength = contentLengthOf(head);
    const fits =
      contentLength !== undefined && contentLength > 0 && contentLength <= exchange.target.byteLength;
    if (head.status !== 206 || !fits || body.byteLength > contentLength) {
      this.#take();
      this.destroy(new Error('its answer was of no use'));
      exchange.resolve({ head, received: 0, contentLength });
      return;
    }
    exchange.head = head;
    exchange.contentLength = contentLength;
    exchange.target.set(body);
    exchange.received = body.byteLength;
    if (exchange.received === contentLength) this.#finish(exchange, head);
  }

  #finish(exchange: Exchange, head: AnswerHead): void {
    this.#take();
    if (!head.persistent) this.destroy(new Error('the other side closes it'));
    exchange.resolve({ head, received: exchange.received, contentLength: exchange.contentLength });
  }

  #take(): Exchange | undefined {
    const exchange = this.#exchange;
    this.#exchange = undefined;
    return exchange;
  }
}

function contentLengthOf({ headers }: AnswerHead): number | undefined {
  const text = headers.get('content-length');
  if (text === undefined || headers.has('transfer-encoding') || !/^\d{1,15}$/.test(text)) return undefined;
  return Number(text);
}
