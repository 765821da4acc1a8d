import { setMaxListeners } from 'node:events';
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
  const { controller, detach } = linkedController(signal);
  const timer = setTimeout(() => controller.abort(new DeadlineError(ms)), ms);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (controller.signal.aborted) throw abortReason(controller.signal);
    throw error;
  } finally {
    clearTimeout(timer);
    detach();
  }
}

/**
 * A controller that also fires with `signal`; call `detach` when done. Any number of stages may listen to it: Node would warn
 * of a leak from the eleventh on.
 */
export function linkedController(signal: AbortSignal | undefined): {
  controller: AbortController;
  detach: () => void;
} {
  const controller = new AbortController();
  setMaxListeners(0, controller.signal);
  const onAbort = (): void => {
    if (signal !== undefined) controller.abort(abortReason(signal));
  };
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  return { controller, detach: () => signal?.removeEventListener('abort', onAbort) };
}
