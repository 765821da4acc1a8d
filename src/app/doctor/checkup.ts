import { errorMessage, isCalyxError } from '../../core/errors.js';
import { unseen, type Area, type Finding, type Verdict } from './finding.js';

/** What was told to end has this long to say how far it came. */
const GRACE_MS = 50;

/**
 * Runs checks of one area, each for itself: one that fails, or that waits for something that hangs (a dead mount), is a finding, and
 * the others go on.
 */
export class Checkup {
  readonly #area: Area;
  /** Rejects when there is no time left. */
  readonly #late: Promise<never>;
  readonly #running: Promise<Finding[]>[] = [];

  /** @param signal when it fires, what is not done yet could not be looked at */
  constructor(area: Area, signal: AbortSignal) {
    this.#area = area;
    this.#late = new Promise((_, reject) => {
      // After those that end by the same signal themselves and know better why.
      const onAbort = (): unknown => setTimeout(() => reject(new Error('it took too long')), GRACE_MS);
      if (signal.aborted) onAbort();
      else signal.addEventListener('abort', onAbort, { once: true });
    });
    // Whoever waits is told.
    this.#late.catch(() => undefined);
  }

  add(check: string, run: () => readonly Verdict[] | Promise<readonly Verdict[]>): void {
    const verdicts = Promise.race([Promise.resolve().then(run), this.#late]).catch((error: unknown) => [
      unseen(`the ${check}`, errorMessage(error), isCalyxError(error) ? error.hint : undefined),
    ]);
    this.#running.push(
      verdicts.then((found) => found.map((verdict) => ({ area: this.#area, check, ...verdict }))),
    );
  }

  /** In the order in which the checks were added. */
  async findings(): Promise<Finding[]> {
    return (await Promise.all(this.#running)).flat();
  }
}
