import type { ServerResponse } from 'node:http';
import { CalyxError } from '../../core/errors.js';
import { segmentLength, type Segment } from '../../catalog/file-tree.js';
import type { ByteSource, Lease } from '../../storage/byte-source.js';
import type { FairShare } from './fair-share.js';

/** A client that takes nothing for so long is gone. */
const STALL_MS = 60_000;

/** Options of {@link sendSegments}. */
export interface SendOptions {
  readonly source: ByteSource;
  /** Shared by all answers of a server. */
  readonly share: FairShare;
  /** Called with the number of blob bytes that the kernel took. */
  readonly onSent: (blobBytes: number) => void;
}

/**
 * Writes the bytes of `segments` as the body of an answer, with back-pressure. Buffers go from the
 * source to the socket without a copy. The header goes out once the first piece is
 * there. If a later read fails, the connection is cut, so that a short answer is never taken for
 * a whole one. Resolves when the kernel has taken all of it.
 *
 * @param begin writes the header
 * @throws the read's error, or CalyxError `aborted` if the client went away
 */
export async function sendSegments(
  response: ServerResponse,
  segments: Iterable<Segment>,
  options: SendOptions,
  begin: () => void,
): Promise<void> {
  const { socket } = response.req;
  const gone = new AbortController();
  const onClose = (): void => gone.abort(new CalyxError('aborted', 'the client closed the connection'));
  if (socket.destroyed) onClose();
  socket.once('close', onClose);
  try {
    await inTurn(response, gone.signal);
    response.setTimeout(STALL_MS, () => response.destroy());
    await options.share.during(() => writeAll(response, segments, options, gone.signal, begin));
  } catch (error) {
    if (response.headersSent || gone.signal.aborted) response.destroy();
    throw error;
  } finally {
    socket.off('close', onClose);
  }
}

/** Answers to requests that came in one go are written one after the other; those that wait hold no buffers. */
function inTurn(response: ServerResponse, gone: AbortSignal): Promise<void> | undefined {
  gone.throwIfAborted();
  if (response.socket !== null) return undefined;
  return new Promise((resolve, reject) => {
    response.once('socket', () => resolve());
    gone.addEventListener('abort', () => reject(gone.reason as Error), { once: true });
  });
}

async function writeAll(
  response: ServerResponse,
  segments: Iterable<Segment>,
  { source, share, onSent }: SendOptions,
  gone: AbortSignal,
  begin: () => void,
): Promise<void> {
  const window = new Window(gone);
  let begun = false;
  const beginOnce = (): void => {
    if (!begun) begin();
    begun = true;
  };
  for (const piece of pieces(segments, share)) {
    await window.below(share.piecesInFlight);
    if ('literal' in piece) {
      const leave = window.enter();
      beginOnce();
      response.write(piece.literal, leave);
      continue;
    }
    const lease = await source.read(piece.blob, piece.offset, piece.length, { signal: gone });
    const leave = window.enter(lease);
    beginOnce();
    let open = lease.parts.length;
    for (const part of lease.parts) {
      response.write(part, (error) => {
        if (error === null || error === undefined) onSent(part.byteLength);
        open -= 1;
        if (open === 0) leave();
      });
    }
  }
  beginOnce();
  response.end();
  await window.below(1);
}

function* pieces(segments: Iterable<Segment>, share: FairShare): Generator<Segment> {
  for (const segment of segments) {
    const length = segmentLength(segment);
    for (let done = 0; done < length;) {
      const bytes = Math.min(share.pieceBytes, length - done);
      // What the kernel has not taken yet is held until then, so literal bytes are handed over in pieces too.
      if ('literal' in segment) yield { literal: segment.literal.subarray(done, done + bytes) };
      else yield { blob: segment.blob, offset: segment.offset + done, length: bytes };
      done += bytes;
    }
  }
}

/** The pieces that are on their way to the kernel. When the client is gone, their buffers come back at once. */
class Window {
  readonly #gone: AbortSignal;
  readonly #inside = new Set<Lease>();
  #count = 0;
  #wake: (() => void) | undefined;

  constructor(gone: AbortSignal) {
    this.#gone = gone;
    gone.addEventListener(
      'abort',
      () => {
        // Whoever was not written yet may never be told so by its callback.
        for (const lease of this.#inside) lease.release();
        this.#inside.clear();
        this.#wake?.();
      },
      { once: true },
    );
  }

  /** Waits until fewer than `limit` are inside; rejects when the client is gone. */
  async below(limit: number): Promise<void> {
    this.#gone.throwIfAborted();
    while (this.#count >= limit) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#gone.throwIfAborted();
    }
  }

  /** Lets one in; what it returns lets it out and gives its buffer back. */
  enter(lease?: Lease): () => void {
    if (this.#gone.aborted) lease?.release();
    this.#gone.throwIfAborted();
    this.#count += 1;
    if (lease !== undefined) this.#inside.add(lease);
    return () => {
      this.#count -= 1;
      if (lease !== undefined && this.#inside.delete(lease)) lease.release();
      this.#wake?.();
    };
  }
}
