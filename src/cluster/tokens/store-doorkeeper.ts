import type { Grant } from '../../core/access.js';
import { systemClock, wallClock, type Clock } from '../../core/clock.js';
import type { Decision, Doorkeeper, Presented } from '../../core/doorkeeper.js';
import { namingHolder } from '../../core/holder-refused.js';
import { Certificates, type GrantOfCertificate } from './certificates.js';
import { RequestRate } from './request-rate.js';
import { grantOf, type TokenRecord } from './token-record.js';
import type { TokenTable } from './token-table.js';
import { unauthenticated } from './unauthenticated.js';
import { WrongAttempts } from './wrong-attempts.js';

/** Options of {@link StoreDoorkeeper}. */
export interface StoreDoorkeeperOptions {
  readonly table: TokenTable;
  readonly grantOfCertificate: GrantOfCertificate;
  /** Told of each decision; never throws, never waits. */
  readonly decided: (decision: Decision) => void;
  /** What each token may ask in the long run. @default 2000 */
  readonly requestsPerSecond?: number;
  /** What each may ask at once. @default 4000 */
  readonly burst?: number;
  /** For lock-outs and rates. @default systemClock */
  readonly clock?: Clock;
  /** Must tell the time of day, for certificates. @default wallClock */
  readonly timeOfDay?: Clock;
}

/** What each token may ask unless something else is said. */
export const TOKEN_RATE = { requestsPerSecond: 2000, burst: 4000 } as const;

const DEFAULTS = { ...TOKEN_RATE, clock: systemClock, timeOfDay: wallClock };

/** The doorkeeper of a store, which has the table of tokens: it knows tokens, and certificates as long as their token is good. */
export class StoreDoorkeeper implements Doorkeeper {
  readonly #table: TokenTable;
  readonly #certificates: Certificates;
  readonly #decided: (decision: Decision) => void;
  readonly #wrong: WrongAttempts;
  readonly #rate: RequestRate;
  readonly #timeOfDay: Clock;

  constructor(options: StoreDoorkeeperOptions) {
    const { requestsPerSecond, burst, clock, timeOfDay } = { ...DEFAULTS, ...options };
    this.#table = options.table;
    this.#certificates = new Certificates(options.grantOfCertificate);
    this.#decided = options.decided;
    this.#wrong = new WrongAttempts(() => clock.now());
    this.#rate = new RequestRate(requestsPerSecond, burst, () => clock.now());
    this.#timeOfDay = timeOfDay;
  }

  whoIs({ address, token, certificate }: Presented): Grant {
    if (token !== undefined) return this.#admit(this.#holderOf(token, address));
    if (certificate !== undefined) return this.#admit(this.#ownerOf(certificate));
    throw unauthenticated('this needs a token, and none was sent');
  }

  decided(decision: Decision): void {
    this.#decided(decision);
  }

  onRevoked(listener: (tokenId: string) => void): () => void {
    return this.#table.onRevoked(listener);
  }

  #admit(grant: Grant & { readonly tokenId: string }): Grant {
    namingHolder(grant, () => this.#rate.count(grant.tokenId));
    return grant;
  }

  #holderOf(text: string, address: string): Grant & { readonly tokenId: string } {
    let token: TokenRecord;
    try {
      token = this.#table.identify(text);
    } catch (error) {
      this.#wrong.count(address);
      throw error;
    }
    // Whoever knows the secret of one that is over did not guess, and is told so at any time.
    const grant = grantOf(token);
    namingHolder(grant, () => this.#table.assertLive(token));
    return grant;
  }

  #ownerOf(certificate: Uint8Array): Grant & { readonly tokenId: string } {
    const grant = this.#certificates.check(certificate, this.#timeOfDay.now());
    namingHolder(grant, () => {
      const token = this.#table.find(grant.tokenId);
      if (token === undefined) throw unauthenticated('the token of this certificate is not known here');
      this.#table.assertLive(token);
    });
    return grant;
  }
}
