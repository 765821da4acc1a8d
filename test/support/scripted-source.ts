import type { Digest } from '../../src/core/digest.js';
import { CalyxError, type ErrorCode } from '../../src/core/errors.js';
import type { ByteSource, Lease, ReadOptions } from '../../src/storage/byte-source.js';

/** What a {@link ScriptedSource} does with one read. */
export type Answer = (source: ScriptedSource, signal: AbortSignal | undefined) => Lease | Promise<Lease>;

/** A mock source: it answers as it was told, read by read, and notes all that happens to it. */
export class ScriptedSource implements ByteSource {
  readonly name: string;
  /** `offset+length` of each read, in order. */
  readonly reads: string[] = [];
  /** The signal of each read. */
  readonly signals: (AbortSignal | undefined)[] = [];
  /** Leases that were given out and are not back. */
  onLoan = 0;
  closed = 0;
  readonly #log: string[];
  readonly #answers: Answer[];

  /** @param log where several sources note the order of their reads */
  constructor(name: string, answers: Answer[], log: string[] = []) {
    this.name = name;
    this.#answers = answers;
    this.#log = log;
  }

  read(_blob: Digest, offset: number, length: number, options?: ReadOptions): Lease | Promise<Lease> {
    this.reads.push(`${offset}+${length}`);
    this.signals.push(options?.signal);
    this.#log.push(this.name);
    const answer = this.#answers.shift();
    if (answer === undefined) throw new Error(`${this.name} was read more often than it should be`);
    return answer(this, options?.signal);
  }

  lend(...pieces: (string | Uint8Array)[]): Lease {
    this.onLoan += 1;
    return {
      parts: pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)),
      release: () => {
        this.onLoan -= 1;
      },
    };
  }

  close(): Promise<void> {
    this.closed += 1;
    return Promise.resolve();
  }
}

/** Answers at once. */
export const fast =
  (...pieces: string[]): Answer =>
  (source) =>
    source.lend(...pieces);

/** Answers later, on another turn of the event loop. */
export const slow =
  (...pieces: string[]): Answer =>
  async (source) => {
    await nextTurn();
    return source.lend(...pieces);
  };

/** Throws at once. */
export const fastError =
  (error: unknown): Answer =>
  () => {
    throw error;
  };

/** Rejects later, on another turn of the event loop. */
export const slowError =
  (error: unknown): Answer =>
  async () => {
    await nextTurn();
    throw error;
  };

/** An answer that waits for the test. */
export interface Gate {
  readonly answer: Answer;
  open(...pieces: string[]): void;
  fail(error: Error): void;
}

/** Answers when the test says so, also if its signal fires before; that is for the layer to handle. */
export function gate(): Gate {
  let settle: { open: (pieces: string[]) => void; fail: (error: Error) => void } | undefined;
  return {
    answer: (source) =>
      new Promise((resolve, reject) => {
        settle = { open: (pieces) => resolve(source.lend(...pieces)), fail: reject };
      }),
    open: (...pieces) => settle?.open(pieces),
    fail: (error) => settle?.fail(error),
  };
}

/** All promises that can be settled now are settled when it resolves. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** An error as a source gives it. */
export const failure = (code: ErrorCode, message: string): CalyxError => new CalyxError(code, message);
