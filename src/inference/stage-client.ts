import { formatBlockRange, type BlockRange } from '../core/block-range.js';
import { CalyxError, errorMessage } from '../core/errors.js';
import {
  DESCRIPTION,
  descriptionFromJson,
  type StageDescription,
  type StageIdentity,
} from './stage-description.js';
import { MAX_JSON_BYTES, parseJson, StageHttp, type StageHttpOptions } from './stage-http.js';
import type { CallOptions, StageInput, StageLink, StageOutput } from './stage-link.js';
import {
  decodeTensorMessage,
  encodeTensorMessage,
  inputMessage,
  maxMessageBytes,
  TENSOR_MEDIA_TYPE,
} from './tensor-message.js';

/** Settings of {@link StageClient.connect}. */
export interface StageClientOptions extends StageHttpOptions {
  /** One forward is answered within this time, or the node counts as gone. @default 120_000 */
  readonly forwardTimeoutMs?: number;
  /** As above for describe, open and close. @default 10_000 */
  readonly controlTimeoutMs?: number;
}

const DEFAULTS = { forwardTimeoutMs: 120_000, controlTimeoutMs: 10_000 };
const MAX_SESSION_CHARS = 64;

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
