import type { Logger } from 'pino';
import type { TlsSettings } from '../../core/access.js';
import { wallClock, type Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';

/** A key and a certificate that a store has issued for it. */
export interface Renewable {
  readonly tls: TlsSettings;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** Options of {@link CertificateRenewal}. */
export interface CertificateRenewalOptions {
  /** Is told of renewals that fail. @default nobody */
  readonly logger?: Logger | undefined;
  /** Must tell the time of day. @default wallClock */
  readonly clock?: Clock;
  /** From 0 up to, and without, 1. @default Math.random */
  readonly random?: () => number;
}

/** Which part of its life a certificate has behind it when it is renewed: somewhere between, so that not all come at once. */
export interface RenewedAt {
  readonly from: number;
  readonly to: number;
}

/** Pauses between attempts to renew; each is up to a quarter shorter. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** The clock may be set, and a machine may sleep, so it is looked at again. */
const MAX_SLEEP_MS = 60_000;

/** Keeps a certificate that a store issues fresh in the background, until it is closed. */
export class CertificateRenewal<T extends Renewable> {
  /** Resolves with the reason when the certificate is over and there is no other; never otherwise. */
  readonly over: Promise<CalyxError>;
  readonly #renew: (signal: AbortSignal) => Promise<T>;
  readonly #renewedAt: RenewedAt;
  readonly #logger: Logger | undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<(current: T) => void>();
  readonly #renewing: Promise<void>;
  #current: T;

  /** @param renew gets another one; is called again, with pauses, as long as it rejects */
  constructor(
    first: T,
    renew: (signal: AbortSignal) => Promise<T>,
    renewedAt: RenewedAt,
    { logger, clock = wallClock, random = Math.random }: CertificateRenewalOptions,
  ) {
    this.#current = first;
    this.#renew = renew;
    this.#renewedAt = renewedAt;
    this.#logger = logger;
    this.#clock = clock;
    this.#random = random;
    let tellOver: (reason: CalyxError) => void = () => undefined;
    this.over = new Promise((resolve) => (tellOver = resolve));
    this.#renewing = this.#keepFresh(tellOver).catch((error: unknown) => {
      if (!this.#closed.signal.aborted) throw error;
    });
  }

  /** The certificate of now. */
  get current(): T {
    return this.#current;
  }

  /** Calls `listener` with each certificate that takes the place of the one before. Returns what ends that. */
  onRenewed(listener: (current: T) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the renewals. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#renewing;
  }

  async #keepFresh(tellOver: (reason: CalyxError) => void): Promise<void> {
    for (;;) {
      const { from, to } = this.#renewedAt;
      const life = this.#current.expiresAt - this.#clock.now();
      await this.#sleepUntil(this.#clock.now() + life * (from + (to - from) * this.#random()));
      const reason = await this.#next();
      if (reason === undefined) continue;
      tellOver(reason);
      return;
    }
  }

  /** Tries until it has another certificate, or until the one it has is over; then it returns why. */
  async #next(): Promise<CalyxError | undefined> {
    const { signal } = this.#closed;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        this.#current = await this.#renew(signal);
        for (const listener of this.#listeners) listener(this.#current);
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        const now = this.#clock.now();
        const { expiresAt } = this.#current;
        if (now >= expiresAt) return overBecause(error);
        this.#logger?.[isCalyxError(error, 'unauthenticated') ? 'error' : 'warn'](
          `the certificate could not be renewed, and is over at ${new Date(expiresAt).toISOString()}: ${errorMessage(error)}`,
        );
        await this.#sleepUntil(Math.min(now + pauseMs * (1 - this.#random() / 4), expiresAt));
      }
    }
  }

  async #sleepUntil(time: number): Promise<void> {
    for (;;) {
      const left = time - this.#clock.now();
      if (left <= 0) return;
      await this.#clock.sleep(Math.min(left, MAX_SLEEP_MS), this.#closed.signal);
    }
  }
}

function overBecause(error: unknown): CalyxError {
  const refused = isCalyxError(error, 'unauthenticated', 'refused');
  return new CalyxError(
    refused ? error.code : 'unavailable',
    `the certificate of this process is over and could not be renewed: ${errorMessage(error)}`,
    {
      hint: refused
        ? "make another token with 'calyx token create', join with it, and start again"
        : 'start again when a store of the cluster answers',
      cause: error,
    },
  );
}
