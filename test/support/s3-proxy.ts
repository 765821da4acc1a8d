import {
  createServer,
  request as ask,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Transform } from 'node:stream';

/** A request that passes. */
export interface S3Request {
  readonly method: string;
  /** Path and query, as sent. */
  readonly url: string;
  /** The object's key without the bucket, or empty for a listing. */
  readonly key: string;
  readonly range: string | undefined;
  /** Whether it is signed. */
  readonly signed: boolean;
  /** How many have passed before with the same method, key and range. */
  readonly before: number;
}

/**
 * What happens to a request instead of its answer: an error as S3 writes it, the connection broken off at once or after half of the
 * bytes, one byte that is another, or silence.
 */
export type S3Fault =
  | {
      readonly status: number;
      readonly code: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly text?: string;
    }
  | 'drop'
  | 'cut'
  | 'wrong'
  | 'silent';

/** A proxy before a real S3 server, which counts what passes and spoils what it is told to. Signatures stay good: the Host header is passed on. */
export class S3Proxy {
  readonly url: string;
  /** All requests so far. */
  readonly requests: S3Request[] = [];
  /** Decides of each request what goes wrong with it. */
  fault: (request: S3Request) => S3Fault | undefined = () => undefined;
  /** Called with each piece of an object before it is sent. */
  onBytes: (request: S3Request, bytes: number) => void = () => undefined;
  /** How fast each answer is sent. */
  bytesPerSecond = Infinity;
  /** Bytes of objects that were sent. */
  bytesSent = 0;
  readonly #server: Server;
  readonly #target: number;
  readonly #seen = new Map<string, number>();

  private constructor(server: Server, target: number) {
    this.#server = server;
    this.#target = target;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request, response) => this.#pass(request, response));
  }

  /** @param target the port of the server on this machine */
  static async start(target: number): Promise<S3Proxy> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new S3Proxy(server, target);
  }

  /** As if nothing had passed. */
  reset(): void {
    this.requests.length = 0;
    this.#seen.clear();
    this.bytesSent = 0;
    this.fault = () => undefined;
    this.onBytes = () => undefined;
    this.bytesPerSecond = Infinity;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #pass(incoming: IncomingMessage, response: ServerResponse): void {
    const asked = this.#note(incoming);
    const fault = this.fault(asked);
    incoming.on('error', () => undefined);
    response.on('error', () => undefined);
    if (fault === 'silent') return;
    if (fault === 'drop') {
      incoming.socket.destroy();
      return;
    }
    if (typeof fault === 'object') {
      const { status, code, headers, text = 'no' } = fault;
      incoming.resume();
      response.writeHead(status, { 'content-type': 'application/xml', ...headers });
      response.end(
        asked.method === 'HEAD'
          ? ''
          : `<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>${text}</Message></Error>`,
      );
      return;
    }
    const { method, url, headers } = incoming;
    const onward = ask(
      { port: this.#target, host: '127.0.0.1', method, path: url, headers, agent: false },
      (answer) => this.#answer(asked, fault, answer, response),
    );
    onward.on('error', () => response.destroy());
    response.on('close', () => onward.destroy());
    incoming.pipe(onward);
  }

  #answer(
    asked: S3Request,
    fault: 'cut' | 'wrong' | undefined,
    answer: IncomingMessage,
    response: ServerResponse,
  ): void {
    response.writeHead(answer.statusCode ?? 500, answer.headers);
    const isObject = asked.method === 'GET' && asked.key !== '' && (answer.statusCode ?? 500) < 300;
    const size = Number(answer.headers['content-length'] ?? 0);
    const spoiledAt = Math.floor(size / 2);
    let done = 0;
    const spoil = new Transform({
      transform: (piece: Buffer, _encoding, next) => {
        const from = done;
        done += piece.byteLength;
        const here = spoiledAt >= from && spoiledAt < done;
        if (here && fault === 'wrong') piece[spoiledAt - from] = (piece[spoiledAt - from] ?? 0) ^ 1;
        const sent = here && fault === 'cut' ? piece.subarray(0, spoiledAt - from) : piece;
        if (isObject) {
          this.bytesSent += sent.byteLength;
          this.onBytes(asked, sent.byteLength);
        }
        if (sent !== piece) {
          // What was sent so far leaves first, then the connection is gone.
          response.write(sent, () => response.destroy());
          answer.destroy();
          return;
        }
        const pauseMs = (piece.byteLength / this.bytesPerSecond) * 1000;
        if (pauseMs < 1) next(null, piece);
        else setTimeout(() => next(null, piece), pauseMs);
      },
    });
    answer.on('error', () => response.destroy());
    spoil.on('error', () => response.destroy());
    response.on('close', () => answer.destroy());
    answer.pipe(spoil).pipe(response);
  }

  #note({ method = '', url = '', headers }: IncomingMessage): S3Request {
    const path = decodeURIComponent(new URL(url, 'http://host').pathname);
    const key = path.split('/').slice(2).join('/');
    const id = `${method} ${key} ${headers.range ?? ''}`;
    const before = this.#seen.get(id) ?? 0;
    this.#seen.set(id, before + 1);
    const asked = {
      method,
      url,
      key,
      range: headers.range,
      signed: headers.authorization !== undefined,
      before,
    };
    this.requests.push(asked);
    return asked;
  }
}
