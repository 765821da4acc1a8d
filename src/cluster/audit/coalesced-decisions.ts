import type { Decision } from '../../core/doorkeeper.js';
import { Recent } from '../../core/recent.js';
import { networkOf } from '../../core/network-address.js';

/** Writes a line: the decision, when it was made last, and for how many it stands. */
export type WriteDecision = (decision: Decision, time: number, count: number) => void;

export const REFUSAL_WINDOW_MS = 10_000;
export const READ_WINDOW_MS = 60_000;
const MAX_WINDOWS = 10_000;
/** So many kinds of refusals are told apart by their address in a window of time; a flood from more must not push the rest out of the log. */
export const MAX_REFUSALS_APART = 1000;
const MANY = 'many addresses';

interface Window {
  readonly key: string;
  readonly decision: Decision;
  readonly endsAt: number;
  /** After the one that was written at once. */
  more: number;
  lastAt: number;
}

/**
 * Says much in few lines: the first refusal of an address (IPv6: of a /64), token (if it is known), door, action and reason is written at
 * once, those that follow within 10 s are one line with their count. The same goes for what was allowed, per token, address, door, action and subject,
 * within 60 s. What is allowed to those who manage is always a line of its own.
 */
export class CoalescedDecisions {
  readonly #write: WriteDecision;
  readonly #windows: Recent<string, Window>;
  #refusalsApart = 0;
  #apartUntil = 0;

  constructor(write: WriteDecision) {
    this.#write = write;
    this.#windows = new Recent(MAX_WINDOWS, (window) => this.#end(window));
  }

  /** @param now milliseconds since 1970 */
  add(decision: Decision, now: number): void {
    if (decision.allowed && decision.door === 'management') {
      this.#write(decision, now, 1);
      return;
    }
    const key = keyOf(decision);
    const window = this.#windows.get(key);
    if (window !== undefined && isOpen(window, now)) {
      window.more += 1;
      window.lastAt = now;
      return;
    }
    if (!decision.allowed && decision.address !== MANY && this.#isFlood(now)) {
      this.add({ ...decision, address: MANY, subject: undefined }, now);
      return;
    }
    if (window !== undefined) this.#end(window);
    this.#windows.set(key, {
      key,
      decision,
      endsAt: now + (decision.allowed ? READ_WINDOW_MS : REFUSAL_WINDOW_MS),
      more: 0,
      lastAt: now,
    });
    this.#write(decision, now, 1);
  }

  /** Writes what was counted in windows that have ended, or in all. Returns false if none is left. */
  end(now: number, all = false): boolean {
    let left = false;
    for (const window of [...this.#windows.values()]) {
      if (!all && isOpen(window, now)) {
        left = true;
        continue;
      }
      this.#windows.delete(window.key);
      this.#end(window);
    }
    return left;
  }

  #end({ decision, more, lastAt }: Window): void {
    if (more > 0) this.#write(decision, lastAt, more);
  }

  #isFlood(now: number): boolean {
    if (now >= this.#apartUntil || now < this.#apartUntil - REFUSAL_WINDOW_MS) {
      this.#apartUntil = now + REFUSAL_WINDOW_MS;
      this.#refusalsApart = 0;
    }
    this.#refusalsApart += 1;
    return this.#refusalsApart > MAX_REFUSALS_APART;
  }
}

/** Also if the clock was set back before its beginning. */
function isOpen({ endsAt, decision }: Window, now: number): boolean {
  return now < endsAt && now >= endsAt - (decision.allowed ? READ_WINDOW_MS : REFUSAL_WINDOW_MS);
}

function keyOf({ door, action, subject, address, grant, allowed, reason }: Decision): string {
  const parts = allowed
    ? ['+', grant?.tokenId, address, door, action, subject]
    : ['-', networkOf(address), door, action, reason, grant?.tokenId, door === 'management' ? subject : ''];
  return parts.map((part) => (part ?? '').slice(0, 200)).join('\n');
}
