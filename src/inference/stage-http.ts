import { Pool, type Dispatcher } from 'undici';
import { CalyxError, errorMessage, systemCode } from '../core/errors.js';
import { fromWireError } from '../core/wire-error.js';
import { DeadlineError, withDeadline } from './deadline.js';
import { STAGE_PATH } from './stage-description.js';

export const CONNECT_TIMEOUT_MS = 5_000;

/** How connections to nodes are kept. */
export const STAGE_CONNECTIONS = {
  // A generation uses one at a time; some more let chunks of a prompt and several sessions overlap.
  connections: 8,
  keepAliveTimeout: 60_000,
  connect: { timeout: CONNECT_TIMEOUT_MS },
  // The deadline of each call covers both.
  headersTimeout: 0,
  bodyTimeout: 0,
} as const;

/** Errors and descriptions are small. */
export const MAX_JSON_BYTES = 16 * 1024;

/** How the connections to a node are made. */
export interface StageHttpOptions {
  /** Sent with every request, for credentials. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * Gives the connections, where they need TLS settings; it is asked for each request, because certificates are renewed. They are the
   * caller's to close.
   *
   * @default a Pool of its own
   */
  readonly dispatcher?: () => Dispatcher;
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
  readonly #dispatcher: () => Dispatcher;
  readonly #own: Pool | undefined;
  readonly #origin: string;

  constructor(url: string, options: StageHttpOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (parsed === undefined || !/^https?:$/.test(parsed.protocol))
      throw new CalyxError('usage', `'${url}' is not the URL of a node`, {
        hint: 'write it as http://HOST:PORT, or https://HOST:PORT',
      });
    this.url = url.replace(/\/+$/, '');
    this.title = this.url;
    this.#origin = parsed.origin;
    this.#path = parsed.pathname.replace(/\/+$/, '') + STAGE_PATH;
    this.#headers = options.headers ?? {};
    if (options.dispatcher === undefined) {
      const own = new Pool(parsed.origin, STAGE_CONNECTIONS);
      this.#dispatcher = () => own;
      this.#own = own;
    } else this.#dispatcher = options.dispatcher;
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
      throw fromWireError(answer.status, parseJson(answer.body), this.title, { always: true });
    } catch (error) {
      if (error instanceof CalyxError || request.signal?.aborted === true) throw error;
      throw new CalyxError('unavailable', `${this.title}: ${reasonOf(error)}`, {
        hint: 'check that the node is running and reachable, or start another one for these blocks',
        cause: error,
      });
    }
  }

  async close(): Promise<void> {
    await this.#own?.destroy();
  }

  async #exchange(
    method: string,
    path: string,
    request: StageHttpRequest,
    signal: AbortSignal,
  ): Promise<Answer> {
    const response = await this.#dispatcher().request({
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

const STRANGER = 'it does not show a certificate of this cluster';

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  EPIPE: 'the connection broke',
  UND_ERR_SOCKET: 'the connection broke',
  UND_ERR_CONNECT_TIMEOUT: 'no connection within 5 s',
  ENOTFOUND: 'no such host',
  // As OpenSSL and Node call what they find wrong with a certificate.
  SELF_SIGNED_CERT_IN_CHAIN: STRANGER,
  DEPTH_ZERO_SELF_SIGNED_CERT: STRANGER,
  UNABLE_TO_GET_ISSUER_CERT: STRANGER,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: STRANGER,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: STRANGER,
  CERT_SIGNATURE_FAILURE: STRANGER,
  CERT_HAS_EXPIRED: 'its certificate is over; do the clocks agree?',
  CERT_NOT_YET_VALID: 'its certificate has not begun; do the clocks agree?',
  INVALID_PURPOSE: 'its certificate is not one of a node',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is not one of a node',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it does not speak TLS',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'it does not speak TLS',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it asks for a certificate of its cluster',
  ERR_SSL_TLSV1_ALERT_UNKNOWN_CA: 'it does not take a certificate of this cluster',
};

function reasonOf(error: unknown): string {
  if (error instanceof DeadlineError) return error.message;
  return REASONS[systemCode(error) ?? ''] ?? errorMessage(error);
}

/** The JSON of a body, or undefined. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
