/** Ends something that does not go on: a signal that is aborted when nothing was heard for a while, or the caller's is. */
export class Stall {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #all: NodeJS.Timeout | undefined;
  readonly #timer: NodeJS.Timeout;
  #isStalled = false;
  readonly #stop = (): void => {
    this.#isStalled = true;
    this.#controller.abort(new Error('stalled'));
  };

  /** @param allMs longest time for all of it, however much is heard */
  constructor(caller: AbortSignal, stallMs: number, allMs?: number) {
    caller.throwIfAborted();
    this.#caller = caller;
    this.signal = AbortSignal.any([caller, this.#controller.signal]);
    this.#timer = setTimeout(this.#stop, stallMs);
    this.#all = allMs === undefined ? undefined : setTimeout(this.#stop, Math.ceil(allMs));
  }

  /** Something was heard. */
  touch(): void {
    this.#timer.refresh();
  }

  /** Waits no longer than the signal allows, also for what does not heed it. */
  async race<T>(work: Promise<T>): Promise<T> {
    let onAbort: () => void = () => undefined;
    const aborted = new Promise<never>((_resolve, reject) => {
      onAbort = () => reject(this.signal.reason as Error);
      this.signal.addEventListener('abort', onAbort, { once: true });
    });
    // What is left behind must not end the process.
    work.catch(() => undefined);
    try {
      return await Promise.race([work, aborted]);
    } finally {
      this.signal.removeEventListener('abort', onAbort);
    }
  }

  /** What to throw for a failure: the caller's reason, `stalled`, or what else it was. */
  reason(error: unknown, stalled: () => Error, other: () => unknown = () => error): unknown {
    if (this.#caller.aborted) return this.#caller.reason;
    return this.#isStalled ? stalled() : other();
  }

  /** No more waiting. */
  end(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#all);
  }
}
