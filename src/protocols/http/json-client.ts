import { Pool, errors } from 'undici';
import type { ClusterCredential } from '../../core/access.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { fromWireError } from '../../core/wire-error.js';
import { trustOf, type ServerTrust } from '../../storage/http/server-trust.js';
import { endedWithoutAnswer, explainTlsFailure } from '../../storage/http/tls-failure.js';

/** Options of {@link JsonClient}. */
export interface JsonClientOptions {
  /** How the server is known, and what it is told about who asks. */
  readonly credential?: ClusterCredential | undefined;
  /** Longest wait for an answer, or for its next byte. @default 15000 */
  readonly timeoutMs?: number;
}

/** Options of one request. */
export interface RequestOptions {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** Sent as JSON. */
  readonly body?: unknown;
  /** The longest answer that is read, in bytes. @default 4194304 (4 MiB) */
  readonly maxBytes?: number;
  readonly signal?: AbortSignal | undefined;
}

/** The longest answer that is allowed may take so long, and no longer. */
const MIN_BYTES_PER_SECOND = 64 * 1024;

const DEFAULTS = { timeoutMs: 15_000, maxBytes: 4 * 1024 * 1024 } as const;

/** Asks a Calyx server for JSON or small contents. Errors name the server and the way out. */
export class JsonClient {
  /** The server's address without a trailing slash. */
  readonly url: string;
  readonly #pool: Pool;
  readonly #basePath: string;
  readonly #trust: ServerTrust;
  readonly #timeoutMs: number;

  /** @throws CalyxError `usage` as {@link trustOf} does */
  constructor(url: URL, options: JsonClientOptions = {}) {
    const timeoutMs = options.timeoutMs ?? DEFAULTS.timeoutMs;
    this.#timeoutMs = timeoutMs;
    this.url = url.href.replace(/\/$/, '');
    this.#basePath = url.pathname.replace(/\/$/, '');
    this.#trust = trustOf(url, options.credential);
    this.#pool = new Pool(url.origin, {
      connections: 4,
      connectTimeout: timeoutMs,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      ...(this.#trust.tls === undefined ? {} : { connect: { ...this.#trust.tls } }),
    });
  }

  /** Sends a request and reads its JSON answer. Rejects with the server's CalyxError, `unavailable` or `timeout`. */
  async json(path: string, options: RequestOptions = {}): Promise<unknown> {
    const bytes = await this.bytes(path, options);
    try {
      return bytes.byteLength === 0 ? null : JSON.parse(Buffer.from(bytes).toString('utf8'));
    } catch (error) {
      throw new CalyxError('unavailable', `${this.url} answered ${path} with something that is not JSON`, {
        hint: 'check that the address is that of a Calyx store',
        cause: error,
      });
    }
  }

  /** Sends a request and reads the bytes of its answer; rejects as {@link JsonClient.json}. */
  async bytes(path: string, options: RequestOptions = {}): Promise<Uint8Array> {
    const maxBytes = options.maxBytes ?? DEFAULTS.maxBytes;
    // An answer that only drips ends too.
    const deadline = AbortSignal.timeout(
      Math.ceil(this.#timeoutMs + (maxBytes / MIN_BYTES_PER_SECOND) * 1000),
    );
    const signal = options.signal === undefined ? deadline : AbortSignal.any([options.signal, deadline]);
    try {
      const answer = await this.#pool.request({
        method: options.method ?? 'GET',
        path: this.#basePath + path,
        headers: {
          ...(options.body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(this.#trust.authorization === undefined ? {} : { authorization: this.#trust.authorization }),
        },
        body: options.body === undefined ? null : JSON.stringify(options.body),
        signal,
      });
      const bytes = await readBounded(answer.body, maxBytes, `${this.url}${path}`);
      if (answer.statusCode >= 200 && answer.statusCode < 300) return bytes;
      throw this.#withWayOut(fromWireError(answer.statusCode, parse(bytes), this.url));
    } catch (error) {
      options.signal?.throwIfAborted();
      if (deadline.aborted)
        throw new CalyxError('timeout', `${this.url} answers too slowly`, { cause: error });
      throw this.#explain(error);
    }
  }

  close(): Promise<void> {
    return this.#pool.destroy();
  }

  /** What the holder of a token can do is known here, not on the server. */
  #withWayOut(error: CalyxError): CalyxError {
    if (error.code !== 'unauthenticated') return error;
    const asked = this.#trust.authorization !== undefined;
    return new CalyxError(
      'unauthenticated',
      `${this.url} ${asked ? 'does not accept the token' : 'asks for a token'}: ${error.message}`,
      {
        hint: asked
          ? "it was revoked or has expired: join again with a new line of 'calyx token create'"
          : "join its cluster: 'calyx join STRING', with the line that 'calyx token create' prints on the store",
        cause: error,
      },
    );
  }

  #explain(error: unknown): CalyxError {
    if (isCalyxError(error)) return error;
    const refused = this.#trust.tls && explainTlsFailure(error, this.url, this.#trust.tls.servername);
    if (refused !== undefined) return refused;
    const mute = this.#trust.tls === undefined && endedWithoutAnswer(error);
    const late =
      error instanceof errors.ConnectTimeoutError ||
      error instanceof errors.HeadersTimeoutError ||
      error instanceof errors.BodyTimeoutError;
    return new CalyxError(
      late ? 'timeout' : 'unavailable',
      `cannot reach ${this.url}: ${late ? 'no answer in time' : errorMessage(error)}`,
      {
        hint: mute
          ? 'check the address; a secured store is asked at https://HOST:PORT, once its cluster was joined'
          : 'check the address, and that the server runs there: calyx store --listen HOST:PORT',
        cause: error,
      },
    );
  }
}

async function readBounded(
  body: AsyncIterable<Uint8Array>,
  maxBytes: number,
  what: string,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of body) {
    size += piece.byteLength;
    if (size > maxBytes)
      throw new CalyxError('unavailable', `${what} answered with more than ${maxBytes} bytes`);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}
