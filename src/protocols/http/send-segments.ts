import type { ServerResponse } from 'node:http';
import { CalyxError } from '../../core/errors.js';
import type { Segment } from '../../catalog/file-tree.js';
import type { ByteSource } from '../../storage/byte-source.js';

/** Bytes read and written at a time: large enough that the cost per piece vanishes, small enough for many clients. */
const PIECE_BYTES = 1024 * 1024;

/** Pieces of one answer in memory: one is read while others are on their way to the kernel. */
const PIECES_IN_FLIGHT = 3;

/** A client that takes nothing for so long is gone. */
const STALL_MS = 60_000;

/**
 * Writes the bytes of `segments` as the body of an answer whose header has been written, with back-pressure. Buffers go from the
 * source to the socket without a copy. If a read fails, the connection is cut, so that a short answer is never taken for
 * a whole one.
 *
 * @param onSent called with the number of blob bytes that the kernel took
 * @throws the read's error, or CalyxError `aborted` if the client went away
 */
export async function sendSegments(
  response: ServerResponse,
  segments: Iterable<Segment>,
  source: ByteSource,
  onSent: (blobBytes: number) => void,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new CalyxError('aborted', 'the client closed the connection')));
  response.setTimeout(STALL_MS, () => response.destroy());
  const window = new Window(PIECES_IN_FLIGHT, gone.signal);
  try {
    for (const piece of pieces(segments)) {
      await window.enter();
      if ('literal' in piece) {
        response.write(piece.literal, () => window.leave());
        continue;
      }
      const lease = await source.read(piece.blob, piece.offset, piece.length, { signal: gone.signal });
      let open = lease.parts.length;
      for (const part of lease.parts) {
        response.write(part, (error) => {
          if (error === null || error === undefined) onSent(part.byteLength);
          open -= 1;
          if (open > 0) return;
          lease.release();
          window.leave();
        });
      }
    }
    response.end();
  } catch (error) {
    response.destroy();
    throw error;
  }
}

function* pieces(segments: Iterable<Segment>): Generator<Segment> {
  for (const segment of segments) {
    if ('literal' in segment) {
      yield segment;
      continue;
    }
    const { blob, offset, length } = segment;
    for (let done = 0; done < length; done += PIECE_BYTES) {
      yield { blob, offset: offset + done, length: Math.min(PIECE_BYTES, length - done) };
    }
  }
}

/** Lets a bounded number in at a time. */
class Window {
  #free: number;
  readonly #signal: AbortSignal;
  #wake: (() => void) | undefined;

  constructor(size: number, signal: AbortSignal) {
    this.#free = size;
    this.#signal = signal;
    signal.addEventListener('abort', () => this.#wake?.(), { once: true });
  }

  async enter(): Promise<void> {
    this.#signal.throwIfAborted();
    if (this.#free === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#signal.throwIfAborted();
    this.#free -= 1;
  }

  leave(): void {
    this.#free += 1;
    this.#wake?.();
    this.#wake = undefined;
  }
}
