import { CalyxError, isCalyxError } from '../../core/errors.js';
import type { TlsTrust } from '../http/server-trust.js';
import { changedAtSource, hubError, type HubQuestion } from './hub-errors.js';
import { listHub, type HubListing } from './hub-listing.js';
import { HttpWalker, destroy, explainFailure, type Walked } from './http-walker.js';
import type { RemoteFile, RemoteModel } from './remote-model.js';

/** Which repository, where. */
export interface HubModelOptions {
  /** The Hub, a mirror of it, or a Calyx store. */
  readonly endpoint: URL;
  /** `ORG/NAME`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
  /** Sent to `endpoint` and to nobody else. */
  readonly token?: string | undefined;
  /** By what `endpoint` is known, instead of the authorities of this machine. */
  readonly tls?: TlsTrust | undefined;
  /** Longest wait for a connection, the head of an answer, and each next byte of it. @default 30000 */
  readonly stallMs?: number;
  /** A source that is slower than this on average is asked anew. @default 16384 (16 KiB) */
  readonly minBytesPerSecond?: number;
}

const DEFAULTS = { minBytesPerSecond: 16 * 1024 } as const;

/** Of a question, besides the time for its bytes: a redirect or two, each with a connection to be made. */
const STALLS_PER_READ = 4;

/**
 * A model on the Hugging Face Hub, or on what speaks its API. Files are read by ranges from `/REPO/resolve/COMMIT/PATH`; where that
 * leads elsewhere, as it does for large files, the address is kept, so that the Hub is asked once a file and not once a range.
 */
export class HubModel implements RemoteModel {
  readonly name: string;
  readonly revision: string;
  readonly files: readonly RemoteFile[];
  readonly #walker: HttpWalker;
  readonly #asked: HubQuestion;
  readonly #minBytesPerSecond: number;
  /** Where files have led to; addresses of object stores hold for some time only. */
  readonly #places = new Map<string, URL>();

  private constructor(
    walker: HttpWalker,
    asked: HubQuestion,
    listing: HubListing,
    minBytesPerSecond: number,
  ) {
    this.name = `${asked.repo}@${listing.revision.slice(0, 12)} at ${asked.endpoint.host}`;
    this.revision = listing.revision;
    this.files = listing.files;
    this.#walker = walker;
    this.#asked = asked;
    this.#minBytesPerSecond = minBytesPerSecond;
  }

  /**
   * Finds out which commit a revision is, and what it holds.
   *
   * @throws CalyxError `not-found`, `refused` (gated), `unauthenticated`, `limited`, `unavailable`, `timeout`, `unsupported`
   */
  static async open(options: HubModelOptions, signal: AbortSignal): Promise<HubModel> {
    const { endpoint, repo, revision, token, tls, stallMs } = options;
    const walker = new HttpWalker(endpoint, { token, tls, ...(stallMs !== undefined && { stallMs }) });
    const asked = { endpoint, repo, revision, token: token !== undefined };
    try {
      const listing = await listHub(walker, asked, signal);
      const speed = options.minBytesPerSecond ?? DEFAULTS.minBytesPerSecond;
      return new HubModel(walker, asked, listing, speed);
    } catch (error) {
      await walker.close();
      throw error;
    }
  }

  async read(file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void> {
    // Besides the wait for each next byte there is one for all of them: a source that only drips is left too.
    const allMs =
      STALLS_PER_READ * this.#walker.stallMs + (target.byteLength / this.#minBytesPerSecond) * 1000;
    const deadline = AbortSignal.timeout(Math.ceil(allMs));
    const either = AbortSignal.any([signal, deadline]);
    try {
      await this.#fill(file, offset, target, either);
    } catch (error) {
      signal.throwIfAborted();
      if (!deadline.aborted) throw error;
      throw new CalyxError('timeout', `${this.#asked.endpoint.origin} is too slow for ${file.path}`, {
        cause: error,
      });
    }
  }

  close(): Promise<void> {
    return this.#walker.close();
  }

  async #fill(file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void> {
    const asked = { ...this.#asked, file: file.path };
    const headers = { range: `bytes=${offset}-${offset + target.byteLength - 1}` };
    const kept = this.#places.get(file.path);
    let answer = await this.#walker.get(kept ?? this.#resolve(file), headers, signal);
    if (kept !== undefined && answer.status >= 400 && answer.status < 500 && answer.status !== 429) {
      // The address has served its time; the Hub gives another one.
      destroy(answer.body);
      this.#places.delete(file.path);
      answer = await this.#walker.get(this.#resolve(file), headers, signal);
    }
    try {
      checkAnswer(answer, file, offset, target.byteLength, asked);
      await receive(answer, target, this.#walker.stallMs);
      if (answer.url.origin !== asked.endpoint.origin) this.#places.set(file.path, answer.url);
    } catch (error) {
      destroy(answer.body);
      throw error;
    }
  }

  #resolve({ path }: RemoteFile): URL {
    const { endpoint, repo } = this.#asked;
    const escaped = path.split('/').map(encodeURIComponent).join('/');
    return new URL(`${endpoint.href.replace(/\/$/, '')}/${repo}/resolve/${this.revision}/${escaped}`);
  }
}

/** @throws CalyxError unless the answer holds the very bytes that were asked for, of a file of the size that was listed */
function checkAnswer(
  answer: Walked,
  file: RemoteFile,
  offset: number,
  length: number,
  asked: HubQuestion,
): void {
  const { status, headers } = answer;
  if (status === 206) {
    if (headers['content-range'] === `bytes ${offset}-${offset + length - 1}/${file.size}`) return;
    throw changedAtSource(asked);
  }
  // Who does not know ranges may send the whole (RFC 9110, section 14.2), which is as good if the whole was asked for.
  if (status === 200 && length === file.size) {
    if (Number(headers['content-length'] ?? length) === length) return;
    throw changedAtSource(asked);
  }
  if (status === 200)
    throw new CalyxError('unsupported', `${answer.url.origin} does not send parts of ${file.path}`, {
      hint: 'use a mirror that answers range requests',
    });
  throw hubError(answer, asked);
}

async function receive({ body, url }: Walked, target: Uint8Array, stallMs: number): Promise<void> {
  let done = 0;
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      if (done + piece.byteLength > target.byteLength)
        throw new CalyxError('unavailable', `${url.origin} sent more bytes than it was asked for`);
      target.set(piece, done);
      done += piece.byteLength;
    }
  } catch (error) {
    throw isCalyxError(error) ? error : explainFailure(error, url, stallMs);
  }
  if (done < target.byteLength)
    throw new CalyxError('unavailable', `${url.origin} ended after ${done} of ${target.byteLength} bytes`);
}
