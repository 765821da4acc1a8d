import type { Pool } from 'undici';
import type { ClusterCredential } from '../../core/access.js';
import { checkRange } from '../../core/byte-range.js';
import type { Digest } from '../../core/digest.js';
import { CalyxError, errorMessage, isCalyxError, systemCode, type ErrorCode } from '../../core/errors.js';
import type { BufferPool } from '../buffer-pool.js';
import { staticLease, type ByteSource, type Lease, type ReadOptions } from '../byte-source.js';
import { RangeClient } from '../http/range-client.js';
import { StalledError } from '../http/range-connection.js';
import { trustOf, type ServerTrust } from '../http/server-trust.js';
import { endedWithoutAnswer, explainTlsFailure } from '../http/tls-failure.js';

/** Options of {@link HttpSource}. */
export interface HttpSourceOptions {
  /** How the server is known, and what it is told about who asks. */
  readonly credential?: ClusterCredential | undefined;
  /** Longest wait for the next byte of an answer. @default 15000 */
  readonly stallMs?: number;
  /** A source that is slower than this on average is left for another one. @default 65536 (64 KiB) */
  readonly minBytesPerSecond?: number;
  /** Connections at the same time. @default 8 */
  readonly connections?: number;
}

const DEFAULTS = { stallMs: 15_000, minBytesPerSecond: 64 * 1024, connections: 8 } as const;

const HINTS: Partial<Record<ErrorCode, string>> = {
  unauthenticated:
    "the token is missing, was revoked or has expired: join again with a new line of 'calyx token create'",
  refused: 'the token does not allow it; ask whoever runs the store for one that does',
  limited: 'the store asks for patience; it limits how much each token may ask for',
};

/** Connecting, the head and the body may each be waited for; this is for the rest. */
const BASE_MS = 2_000;

const UNDICI_TIMEOUTS = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** Reads blobs from a store (or a peer) by HTTP range requests (RFC 9110, section 14). */
export class HttpSource implements ByteSource {
  readonly name: string;
  readonly #pool: BufferPool;
  readonly #origin: string;
  readonly #connections: number;
  readonly #ranges: RangeClient;
  readonly #trust: ServerTrust;
  /** True once the server has answered in a form that only a full HTTP client understands. */
  #needsGeneral = false;
  #general: Promise<Pool> | undefined;
  #closed = false;
  readonly #basePath: string;
  readonly #stallMs: number;
  readonly #minBytesPerSecond: number;

  /**
   * @param url the store's address, `http://HOST:PORT` or `https://HOST:PORT`
   * @param pool lends the buffers
   * @throws CalyxError `usage` as {@link trustOf} does
   */
  constructor(url: URL, pool: BufferPool, options: HttpSourceOptions = {}) {
    this.#stallMs = options.stallMs ?? DEFAULTS.stallMs;
    this.#minBytesPerSecond = options.minBytesPerSecond ?? DEFAULTS.minBytesPerSecond;
    this.#basePath = url.pathname.replace(/\/$/, '');
    // Not the whole URL: the name stands in logs, and a URL may hold a password.
    this.name = url.origin + this.#basePath;
    this.#pool = pool;
    this.#origin = url.origin;
    this.#connections = options.connections ?? DEFAULTS.connections;
    this.#trust = trustOf(url, options.credential);
    this.#ranges = new RangeClient(url, {
      trust: this.#trust,
      stallMs: this.#stallMs,
      connections: this.#connections,
    });
  }

  async read(blob: Digest, offset: number, length: number, { signal }: ReadOptions = {}): Promise<Lease> {
    signal?.throwIfAborted();
    checkRange(offset, length);
    // HTTP has no range without bytes.
    if (length === 0) return staticLease();
    const lease = await this.#pool.take(length, signal);
    // Besides the wait for each next byte there is one for all of them: a source that only drips is left too.
    const allMs = BASE_MS + 3 * this.#stallMs + (length / this.#minBytesPerSecond) * 1000;
    const deadline = AbortSignal.timeout(Math.ceil(allMs));
    const either = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
    try {
      await this.#fill(lease.buffer, blob, offset, either);
      return lease;
    } catch (error) {
      lease.release();
      signal?.throwIfAborted();
      if (!deadline.aborted) throw this.#explain(error, blob);
      throw new CalyxError(
        'timeout',
        `${this.name} took more than ${Math.round(allMs / 1000)} s for ${length} bytes of the blob ${blob}`,
        { hint: 'check the network and the load of the store', cause: error },
      );
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#ranges.close();
    await (await this.#general)?.destroy();
  }

  async #fill(
    buffer: Uint8Array,
    blob: Digest,
    offset: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const path = `${this.#basePath}/v1/blobs/${blob}`;
    const done =
      (await this.#fillDirectly(buffer, path, blob, offset, signal)) ??
      (await this.#fillByGeneralClient(buffer, path, blob, offset, signal));
    if (done < buffer.byteLength) {
      throw new CalyxError(
        'unavailable',
        `${this.name} sent ${done} of ${buffer.byteLength} bytes of the blob ${blob}`,
      );
    }
  }

  /** Receives the bytes without a copy. Resolves with their number, or with undefined if this server needs the other client. */
  async #fillDirectly(
    buffer: Uint8Array,
    path: string,
    blob: Digest,
    offset: number,
    signal: AbortSignal | undefined,
  ): Promise<number | undefined> {
    if (this.#needsGeneral) return undefined;
    const { head, received, contentLength } = await this.#ranges.get(path, offset, buffer, signal);
    const end = offset + buffer.byteLength;
    this.#checkAnswer(head.status, head.headers.get('content-range'), blob, offset, end);
    if (contentLength === undefined) {
      // For example a proxy on the way that sends chunks (RFC 9112, section 7.1).
      this.#needsGeneral = true;
      return undefined;
    }
    if (contentLength > buffer.byteLength) throw this.#wrong(blob, 'it sent more bytes than asked for');
    return received;
  }

  async #fillByGeneralClient(
    buffer: Uint8Array,
    path: string,
    blob: Digest,
    offset: number,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    if (this.#closed) throw new CalyxError('unavailable', `${this.name} is closed`);
    const end = offset + buffer.byteLength;
    const client = await this.#generalClient();
    const { authorization } = this.#trust;
    const range = `bytes=${offset}-${end - 1}`;
    const answer = await client.request({
      method: 'GET',
      path,
      headers: authorization === undefined ? { range } : { range, authorization },
      signal: signal ?? null,
    });
    let done = 0;
    try {
      this.#checkAnswer(answer.statusCode, answer.headers['content-range'], blob, offset, end);
      for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
        if (done + piece.byteLength > buffer.byteLength)
          throw this.#wrong(blob, 'it sent more bytes than asked for');
        buffer.set(piece, done);
        done += piece.byteLength;
      }
    } catch (error) {
      // Ends the exchange: the rest of a wrong answer is not waited for.
      answer.body.on('error', () => undefined).destroy();
      throw error;
    }
    return done;
  }

  /** The client that speaks all of HTTP. Loaded when it is needed: it takes longer to load than a small fetch takes. */
  #generalClient(): Promise<Pool> {
    this.#general ??= import('undici').then(
      ({ Pool: HttpPool }) =>
        new HttpPool(this.#origin, {
          connections: this.#connections,
          connectTimeout: this.#stallMs,
          headersTimeout: this.#stallMs,
          bodyTimeout: this.#stallMs,
          ...(this.#trust.tls === undefined ? {} : { connect: { ...this.#trust.tls } }),
        }),
    );
    return this.#general;
  }

  #checkAnswer(
    status: number,
    range: string | string[] | undefined,
    blob: Digest,
    offset: number,
    end: number,
  ): void {
    if (status !== 206) {
      const code = codeOfStatus(status);
      const hint = HINTS[code];
      throw new CalyxError(
        code,
        `${this.name} ${this.#refusal(status, blob)}`,
        hint === undefined ? {} : { hint },
      );
    }
    const wanted = `bytes ${offset}-${end - 1}/`;
    if (typeof range !== 'string' || !range.startsWith(wanted)) {
      throw this.#wrong(blob, `it answered with the range '${String(range)}' instead of '${wanted}...'`);
    }
  }

  #refusal(status: number, blob: Digest): string {
    const code = codeOfStatus(status);
    if (code === 'not-found') return `does not have the blob ${blob}`;
    const answered = `answered ${status} for the blob ${blob}`;
    if (code !== 'unauthenticated') return answered;
    const token = this.#trust.authorization === undefined ? 'asks for a token' : 'does not accept the token';
    return `${token}: it ${answered}`;
  }

  #wrong(blob: Digest, problem: string): CalyxError {
    return new CalyxError('corrupt', `${this.name} gave a wrong answer for the blob ${blob}: ${problem}`);
  }

  #explain(error: unknown, blob: Digest): CalyxError {
    if (isCalyxError(error)) return error;
    const refused = this.#trust.tls && explainTlsFailure(error, this.#origin);
    if (refused !== undefined) return refused;
    const mute = this.#trust.tls === undefined && endedWithoutAnswer(error);
    const stalled = error instanceof StalledError || UNDICI_TIMEOUTS.has(systemCode(error) ?? '');
    const code: ErrorCode = stalled ? 'timeout' : 'unavailable';
    const reason = stalled
      ? `sent nothing for ${this.#stallMs / 1000} s`
      : `failed (${errorMessage(error) || String(systemCode(error))})`;
    return new CalyxError(code, `${this.name} ${reason} while the blob ${blob} was read`, {
      hint: `check that the store runs and that this machine reaches it${mute ? '; a secured one is asked at https://HOST:PORT' : ''}`,
      cause: error,
    });
  }
}

/** The error that an HTTP status (RFC 9110, section 15) stands for. */
export function codeOfStatus(status: number): ErrorCode {
  if (status === 404 || status === 410) return 'not-found';
  if (status === 401) return 'unauthenticated';
  if (status === 403 || status === 421) return 'refused';
  if (status === 429) return 'limited';
  if (status === 408 || status === 504) return 'timeout';
  if (status === 416) return 'corrupt';
  return 'unavailable';
}
