import type { Logger } from 'pino';
import type { Grant, TlsSettings } from '../../core/access.js';
import { wallClock, type Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { StoreClient } from '../../protocols/http/store-client.js';
import { requestCertificate, type IssuedCertificate } from './issued-certificate.js';
import type { SecuredAccess } from './secured-access.js';

/** Options of {@link ClusterCertificate.obtain}. */
export interface ClusterCertificateOptions {
  /** Is told of renewals that fail. @default nobody */
  readonly logger?: Logger | undefined;
  /** Must tell the time of day. @default wallClock */
  readonly clock?: Clock;
  /** From 0 up to, and without, 1. @default Math.random */
  readonly random?: () => number;
}

/** Which part of its life a certificate has behind it when it is renewed: somewhere between, so that nodes do not come all at once. */
const RENEWED_AT = { from: 0.6, to: 0.7 };
/** Pauses between attempts to renew; each is up to a quarter shorter. */
const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 60_000;
/** The clock may be set, and a machine may sleep, so it is looked at again. */
const MAX_SLEEP_MS = 60_000;

/**
 * A key and a certificate of the cluster, only in memory: what shows other machines who this process is. It lives as long as its
 * store says (an hour), and is renewed in the background when two thirds of that are over.
 */
export class ClusterCertificate {
  /** Resolves with the reason when the certificate is over and there is no other; never otherwise. */
  readonly over: Promise<CalyxError>;
  readonly #stores: StoreClient;
  readonly #logger: Logger | undefined;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #closed = new AbortController();
  readonly #listeners = new Set<(tls: TlsSettings) => void>();
  readonly #renewing: Promise<void>;
  #current: IssuedCertificate;

  private constructor(
    stores: StoreClient,
    first: IssuedCertificate,
    { logger, clock = wallClock, random = Math.random }: ClusterCertificateOptions,
  ) {
    this.#stores = stores;
    this.#current = first;
    this.#logger = logger;
    this.#clock = clock;
    this.#random = random;
    let tellOver: (reason: CalyxError) => void = () => undefined;
    this.over = new Promise((resolve) => (tellOver = resolve));
    this.#renewing = this.#keepFresh(tellOver).catch((error: unknown) => {
      if (!this.#closed.signal.aborted) throw error;
    });
  }

  /**
   * Gets a certificate from one of the stores. Only the cluster of the credential is trusted.
   *
   * @throws CalyxError `unauthenticated` for a token that is not good, `unavailable` if no store answers as it should
   */
  static async obtain(
    access: SecuredAccess,
    signal: AbortSignal,
    options: ClusterCertificateOptions = {},
  ): Promise<ClusterCertificate> {
    const stores = new StoreClient(access);
    try {
      const first = await requestCertificate(stores, access.credential.ca, signal);
      return new ClusterCertificate(stores, first, options);
    } catch (error) {
      await stores.close();
      throw error;
    }
  }

  /** What TLS needs now. */
  get tls(): TlsSettings {
    return this.#current.tls;
  }

  /** Who this process is to others. */
  get grant(): Grant {
    return this.#current.grant;
  }

  /** Calls `listener` with each certificate that takes the place of the one before. Returns what ends that. */
  onRenewed(listener: (tls: TlsSettings) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Ends the renewals. */
  async close(): Promise<void> {
    this.#closed.abort();
    await this.#renewing;
    await this.#stores.close();
  }

  async #keepFresh(tellOver: (reason: CalyxError) => void): Promise<void> {
    for (;;) {
      const { from, to } = RENEWED_AT;
      const life = this.#current.expiresAt - this.#clock.now();
      await this.#sleepUntil(this.#clock.now() + life * (from + (to - from) * this.#random()));
      const reason = await this.#renew();
      if (reason === undefined) continue;
      tellOver(reason);
      return;
    }
  }

  /** Tries until it has another certificate, or until the one it has is over; then it returns why. */
  async #renew(): Promise<CalyxError | undefined> {
    const { signal } = this.#closed;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(2 * pauseMs, LONGEST_PAUSE_MS)) {
      try {
        this.#current = await requestCertificate(this.#stores, this.#current.tls.ca, signal);
        for (const listener of this.#listeners) listener(this.#current.tls);
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
