import { Pool, type Dispatcher } from 'undici';
import { formatBlockRange, type BlockRange } from '../core/block-range.js';
import { CalyxError, errorMessage, systemCode } from '../core/errors.js';
import { DeadlineError, withDeadline } from './deadline.js';
import { fromErrorBody } from './error-body.js';
import {
  DESCRIPTION,
  descriptionFromJson,
  STAGE_PATH,
  type StageDescription,
  type StageIdentity,
} from './stage-description.js';
import type { CallOptions, StageInput, StageLink, StageOutput } from './stage-link.js';
import {
  decodeTensorMessage,
  encodeTensorMessage,
  inputMessage,
  maxMessageBytes,
  TENSOR_MEDIA_TYPE,
} from './tensor-message.js';

/** Settings of {@link StageClient.connect}. */
export interface StageClientOptions {
  /** One forward is answered within this time, or the node counts as gone. @default 120_000 */
  readonly forwardTimeoutMs?: number;
  /** As above for describe, open and close. @default 10_000 */
  readonly controlTimeoutMs?: number;
  /** Sent with every request, for credentials. */
  readonly headers?: Readonly<Record<string, string>>;
  /** The connections, where they need TLS settings; it is then the caller's to close. @default a Pool of its own */
  readonly dispatcher?: Dispatcher;
}

const DEFAULTS = { forwardTimeoutMs: 120_000, controlTimeoutMs: 10_000 };
/** A generation uses one connection at a time; some more let chunks of a prompt and several sessions overlap. */
const CONNECTIONS = 8;
const KEEP_ALIVE_MS = 60_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Errors and descriptions are small. */
const MAX_JSON_BYTES = 16 * 1024;
const MAX_SESSION_CHARS = 64;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A stage on another node, over persistent HTTP connections. */
export class StageClient implements StageLink {
  readonly name: string;
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;
  readonly description: StageDescription;
  readonly #http: StageHttp;
  readonly #options: StageClientOptions & typeof DEFAULTS;

  private constructor(http: StageHttp, description: StageDescription, options: StageClientOptions) {
    this.#http = http;
    this.#options = { ...DEFAULTS, ...options };
    this.name = http.url;
    this.description = description;
    this.blocks = description.blocks;
    this.embed = description.embed;
    this.head = description.head;
    http.title = `${http.url} (blocks ${formatBlockRange(description.blocks)})`;
  }

  /**
   * Asks the node at `url` what it runs.
   *
   * @param url such as `http://10.0.0.5:7071`, with a path if the routes are mounted under one
   * @param expected the model and revision that it must run
   * @throws CalyxError `unavailable` if it doesn't answer, `changed` if it runs something else
   */
  static async connect(
    url: string,
    expected: StageIdentity,
    options: StageClientOptions & CallOptions = {},
  ): Promise<StageClient> {
    const http = new StageHttp(url, options);
    try {
      const timeoutMs = options.controlTimeoutMs ?? DEFAULTS.controlTimeoutMs;
      const answer = await http.call('GET', '', { timeoutMs, signal: options.signal, limit: MAX_JSON_BYTES });
      const parsed = DESCRIPTION.safeParse(parseJson(answer.body));
      if (!parsed.success)
        throw new CalyxError('unavailable', `${url}: it does not describe a stage`, {
          hint: 'check that the address is that of a calyx node',
        });
      const description = descriptionFromJson(parsed.data);
      if (description.model !== expected.model || description.revision !== expected.revision)
        throw new CalyxError(
          'changed',
          `${url} runs ${description.model}@${description.revision}, not ${expected.model}@${expected.revision}`,
          { hint: 'all nodes of a pipeline must run the same revision' },
        );
      return new StageClient(http, description, options);
    } catch (error) {
      await http.close();
      throw error;
    }
  }

  async open(sessionId: string, maxTokens: number, { signal }: CallOptions = {}): Promise<void> {
    const { model, revision } = this.description;
    await this.#http.call('POST', '/sessions', {
      type: 'application/json',
      body: Buffer.from(JSON.stringify({ session: sessionId, model, revision, max_tokens: maxTokens })),
      timeoutMs: this.#options.controlTimeoutMs,
      signal,
      limit: MAX_JSON_BYTES,
    });
  }

  async forward(
    sessionId: string,
    position: number,
    input: StageInput,
    { signal }: CallOptions = {},
  ): Promise<StageOutput> {
    const { hiddenSize, vocabSize } = this.description;
    const count = input.kind === 'tokens' ? input.data.length : input.data.length / hiddenSize;
    const expected = this.head ? vocabSize : count * hiddenSize;
    const request = {
      type: TENSOR_MEDIA_TYPE,
      body: Buffer.concat(encodeTensorMessage(inputMessage(input, hiddenSize))),
      timeoutMs: this.#options.forwardTimeoutMs,
      signal,
      limit: maxMessageBytes(expected, Float32Array.BYTES_PER_ELEMENT),
      // A node rewinds, so the same call may be made twice: a connection that was closed while idle is no failure.
      repeatable: true,
    };
    const path = `/sessions/${sessionId.slice(0, MAX_SESSION_CHARS)}/forward?position=${position}`;
    const message = this.#decode((await this.#http.call('POST', path, request)).body);
    const name = this.head ? 'logits' : 'hidden_states';
    if (message.name !== name || message.data.length !== expected)
      throw new CalyxError(
        'unavailable',
        `${this.#http.title}: answered with ${message.name} of a wrong size`,
      );
    return { kind: this.head ? 'logits' : 'hidden', data: message.data };
  }

  async close(sessionId: string, { signal }: CallOptions = {}): Promise<void> {
    await this.#http.call('DELETE', `/sessions/${sessionId.slice(0, MAX_SESSION_CHARS)}`, {
      timeoutMs: this.#options.controlTimeoutMs,
      signal,
      limit: MAX_JSON_BYTES,
    });
  }

  /** Closes the connections. */
  async disconnect(): Promise<void> {
    await this.#http.close();
  }

  #decode(body: Buffer): ReturnType<typeof decodeTensorMessage> {
    try {
      return decodeTensorMessage(body);
    } catch (error) {
      throw new CalyxError('unavailable', `${this.#http.title}: ${errorMessage(error)}`, { cause: error });
    }
  }
}

interface Request {
  readonly type?: string;
  readonly body?: Buffer;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
  /** The most bytes of an answer. */
  readonly limit: number;
  readonly repeatable?: boolean;
}

/** Requests to one node, with a deadline each, bounded answers, and errors that name the node. */
class StageHttp {
  readonly url: string;
  title: string;
  readonly #path: string;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #dispatcher: Dispatcher;
  readonly #owned: boolean;
  readonly #origin: string;

  constructor(url: string, options: StageClientOptions) {
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

  async call(method: 'GET' | 'POST' | 'DELETE', path: string, request: Request): Promise<Answer> {
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

  async #exchange(method: string, path: string, request: Request, signal: AbortSignal): Promise<Answer> {
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

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    return undefined;
  }
}
