import { abortReason } from '../core/clock.js';

/** Thrown by {@link withDeadline} when the time is over; callers turn it into an error that names the thing. */
export class DeadlineError extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms / 1000} s`);
    this.name = 'DeadlineError';
  }
}

/**
 * Runs `work` with a signal that fires after `ms` or with `signal`. Leaves neither a timer nor a listener behind, unlike
 * `AbortSignal.any`, which would gather one for each token on a signal that lives as long as the generation.
 *
 * @throws DeadlineError, or the signal's reason, or what `work` throws
 */
export async function withDeadline<T>(
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal?.aborted === true) throw abortReason(signal);
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new DeadlineError(ms)), ms);
  const onAbort = (): void => {
    if (signal !== undefined) controller.abort(abortReason(signal));
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  try {
    return await work(controller.signal);
  } catch (error) {
    if (controller.signal.aborted) throw abortReason(controller.signal);
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
