import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import { wallClock, type Clock } from '../../core/clock.js';
import type { Decision } from '../../core/doorkeeper.js';
import { AuditFile } from './audit-file.js';
import { auditLine } from './audit-line.js';
import { CoalescedDecisions } from './coalesced-decisions.js';

/** Options of {@link AuditLog.open}. */
export interface AuditLogOptions {
  /** Told once when the file cannot be written, and once when it can again. */
  readonly logger: Pick<Logger, 'warn' | 'info'>;
  /** Must tell the time of day. @default wallClock */
  readonly clock?: Clock;
  /** At which size the file is put aside. @default 16 MiB */
  readonly maxBytes?: number;
  /** How many files are kept that were put aside (`audit.log.1` is the youngest). @default 4 */
  readonly kept?: number;
}

/** How the file rotates unless something else is said. */
export const AUDIT_ROTATION = { maxBytes: 16 * 1024 * 1024, kept: 4 } as const;

const DEFAULTS = { clock: wallClock, ...AUDIT_ROTATION };
/** How late a count may be written after its window has ended. */
const SWEEP_MS = 1000;
/** A disk that hangs must not keep a store from ending. */
const MAX_CLOSE_MS = 5000;

/**
 * Who came in, what was asked for, from where, and how that was answered: lines of JSON (audit-line.ts), repeated ones as one with a
 * count (coalesced-decisions.ts), in a file that rotates (audit-file.ts).
 */
export class AuditLog {
  readonly #file: AuditFile;
  readonly #clock: Clock;
  readonly #coalesced: CoalescedDecisions;
  readonly #stop = new AbortController();
  #isSweeping = false;

  private constructor(file: string, options: AuditLogOptions) {
    const { clock, maxBytes, kept } = { ...DEFAULTS, ...options };
    this.#clock = clock;
    this.#file = new AuditFile(file, { logger: options.logger, clock, maxBytes, kept });
    this.#coalesced = new CoalescedDecisions((decision, time, count) => this.#add(decision, time, count));
  }

  /** Begins a log, or goes on with it. It does not fail: a file that cannot be written is reported to the logger. */
  static open(file: string, options: AuditLogOptions): AuditLog {
    return new AuditLog(file, options);
  }

  /** Takes a decision. Never throws, never waits. */
  write(decision: Decision): void {
    if (this.#stop.signal.aborted) return;
    this.#coalesced.add(decision, this.#clock.now());
    if (!this.#isSweeping) void this.#sweep();
  }

  /** Returns when each line so far is in the file, or could not be written. What is being counted is not a line yet. */
  flush(): Promise<void> {
    return this.#file.flush();
  }

  /** Writes all lines and counts, and closes the file; after 5 s it does not wait any longer. */
  async close(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#coalesced.end(this.#clock.now(), true);
    const giveUp = new AbortController();
    const late = delay(MAX_CLOSE_MS, undefined, { signal: giveUp.signal }).catch(() => undefined);
    await Promise.race([this.#file.close(), late]);
    giveUp.abort();
  }

  /** Writes counts when their windows end, as long as there are any. */
  async #sweep(): Promise<void> {
    this.#isSweeping = true;
    try {
      do await this.#clock.sleep(SWEEP_MS, this.#stop.signal);
      while (this.#coalesced.end(this.#clock.now()));
    } catch {
      // It was closed, which writes the rest.
    } finally {
      this.#isSweeping = false;
    }
  }

  #add(decision: Decision, time: number, count: number): void {
    this.#addLost(time);
    this.#file.add(auditLine(decision, time, count));
  }

  /** The log says itself where lines are missing. */
  #addLost(time: number): void {
    const lost = this.#file.isInTrouble ? 0 : this.#file.takeLost();
    if (lost === 0) return;
    const decision = { door: 'management', action: 'audit lines lost', address: '', allowed: false } as const;
    this.#file.add(auditLine({ ...decision, reason: 'unavailable' }, time, lost));
  }
}
