import { Pool, type Dispatcher } from 'undici';
import { CalyxError, errorMessage, systemCode } from '../core/errors.js';
import { DeadlineError, withDeadline } from './deadline.js';
import { fromErrorBody } from './error-body.js';
import { STAGE_PATH } from './stage-description.js';

/** A generation uses one connection at a time; some more let chunks of a prompt and several sessions overlap. */
const CONNECTIONS = 8;
const KEEP_ALIVE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Errors and descriptions are small. */
export const MAX_JSON_BYTES = 16 * 1024;

/** How the connections to a node are made. */
export interface StageHttpOptions {
  /** Sent with every request, for credentials. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The connections, where they need TLS settings; it is then the caller's to close. @default a Pool of its own */
  readonly dispatcher?: Dispatcher;
}

/** What came back. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** One request of {@link StageHttp.call}. */
export interface StageHttpRequest {
  readonly type?: string;
  readonly body?: Buffer;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The most bytes of an answer. */
  readonly limit: number;
  /** The same request may reach the node twice. @default false */
  readonly repeatable?: boolean;
}

/** Requests to one node, with a deadline each, bounded answers, and errors that name the node. */
export class StageHttp {
  readonly url: string;
  title: string;
  readonly #path: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #dispatcher: Dispatcher;
  readonly #owned: boolean;
  readonly #origin: string;

  constructor(url: string, options: StageHttpOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
      throw new CalyxError('usage', `'${url}' is not the URL of a node`, {
        hint: 'write it as http://HOST:PORT',
      });
    this.url = url.replace(/\/+$/, '');
    this.title = this.url;
    this.#origin = parsed.origin;
    this.#path = parsed.pathname.replace(/\/+$/, '') + STAGE_PATH;
    this.#headers = options.headers ?? {};
    this.#owned = options.dispatcher === undefined;
    this.#dispatcher =
      options.dispatcher ??
      new Pool(parsed.origin, {
        connections: CONNECTIONS,
        keepAliveTimeout: KEEP_ALIVE_MS,
        connect: { timeout: CONNECT_TIMEOUT_MS },
        // The deadline of each call covers both.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
  }

  async call(method: 'GET' | 'POST' | 'DELETE', path: string, request: StageHttpRequest): Promise<Answer> {
    try {
      const answer = await withDeadline(request.timeoutMs, request.signal, async (signal) => {
        try {
          return await this.#exchange(method, path, request, signal);
        } catch (error) {
          if (request.repeatable !== true || !wasDropped(error) || signal.aborted) throw error;
          return await this.#exchange(method, path, request, signal);
        }
      });
      if (answer.status < 300) return answer;
      const json = parseJson(answer.body) as { error?: unknown } | undefined;
      throw json?.error === undefined
        ? new CalyxError('unavailable', `${this.title}: answered with HTTP status ${answer.status}`)
        : fromErrorBody(json.error, this.title);
    } catch (error) {
      if (error instanceof CalyxError || request.signal?.aborted === true) throw error;
      throw new CalyxError('unavailable', `${this.title}: ${reasonOf(error)}`, {
        hint: 'check that the node is running and reachable, or start another one for these blocks',
        cause: error,
      });
    }
  }

  async close(): Promise<void> {
    if (this.#owned) await this.#dispatcher.destroy();
  }

  async #exchange(
    method: string,
    path: string,
    request: StageHttpRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const response = await this.#dispatcher.request({
      origin: this.#origin,
      path: this.#path + path,
      method: method as Dispatcher.HttpMethod,
      headers: { ...this.#headers, ...(request.type === undefined ? {} : { 'content-type': request.type }) },
      body: request.body ?? null,
      signal,
    });
    const limit = response.statusCode < 300 ? request.limit : MAX_JSON_BYTES;
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of response.body as AsyncIterable<Buffer>) {
      size += part.length;
      // Leaving the loop destroys the body, and with it the connection.
      if (size > limit)
        throw new CalyxError('unavailable', `${this.title}: its answer is longer than ${limit} bytes`);
      parts.push(part);
    }
    return { status: response.statusCode, body: Buffer.concat(parts, size) };
  }
}

/** The connection was closed under the request, as happens when the node's keep-alive ends just then. */
function wasDropped(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(systemCode(error) ?? '');
}

function reasonOf(error: unknown): string {
  if (error instanceof DeadlineError) return error.message;
  const reasons: Readonly<Record<string, string>> = {
    ECONNREFUSED: 'connection refused',
    ECONNRESET: 'the connection broke',
    EPIPE: 'the connection broke',
    UND_ERR_SOCKET: 'the connection broke',
    UND_ERR_CONNECT_TIMEOUT: 'no connection within 5 s',
    ENOTFOUND: 'no such host',
  };
  return reasons[systemCode(error) ?? ''] ?? errorMessage(error);
}

/** The JSON of a body, or undefined. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
