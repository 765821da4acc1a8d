import { setTimeout as setTimeoutPromise } from 'node:timers/promises';

/** Time, passed in wherever a test needs to control it. */
export interface Clock {
  /** Milliseconds that only grow, from an arbitrary origin. */
  now(): number;
  /** Resolves after `ms`, or rejects with the signal's reason. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', onAbort);
        resolve();
      }, ms);
      const onAbort = (): void => {
        clearTimeout(timer);
        if (signal !== undefined) reject(abortReason(signal));
      };
      signal?.addEventListener('abort', onAbort, { once: true });
    }),
};

/**
 * The time of day, in milliseconds since 1970: for what must mean the same after a restart. It jumps when somebody sets the machine's
 * clock. Its sleeps do not keep the process alive.
 */
export const wallClock: Clock = {
  now: () => Date.now(),
  sleep: (ms, signal) =>
    setTimeoutPromise(ms, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) }),
};

/** The reason of an aborted signal as an Error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason));
}
