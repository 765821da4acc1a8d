import type { Grant } from '../../core/access.js';
import { wallClock, type Clock } from '../../core/clock.js';
import type { Decision, Doorkeeper, Presented } from '../../core/doorkeeper.js';
import { HolderRefused } from '../../core/holder-refused.js';
import { Certificates, type GrantOfCertificate } from './certificates.js';
import { tellAll } from './tell-all.js';
import { unauthenticated } from './unauthenticated.js';

/** Options of {@link NodeDoorkeeper}. */
export interface NodeDoorkeeperOptions {
  readonly grantOfCertificate: GrantOfCertificate;
  /** Told of each decision; never throws, never waits. */
  readonly decided: (decision: Decision) => void;
  /** Must tell the time of day. @default wallClock */
  readonly timeOfDay?: Clock;
}

/** The doorkeeper of a node, which has no table of tokens: it knows certificates, and which tokens its cluster denies. */
export class NodeDoorkeeper implements Doorkeeper {
  readonly #certificates: Certificates;
  readonly #decided: (decision: Decision) => void;
  readonly #timeOfDay: Clock;
  readonly #listeners = new Set<(tokenId: string) => void>();
  #denied: ReadonlySet<string> = new Set();

  constructor(options: NodeDoorkeeperOptions) {
    this.#certificates = new Certificates(options.grantOfCertificate);
    this.#decided = options.decided;
    this.#timeOfDay = options.timeOfDay ?? wallClock;
  }

  whoIs({ certificate }: Presented): Grant {
    if (certificate === undefined)
      throw unauthenticated('a node knows people by a certificate of the cluster, and none was shown');
    const grant = this.#certificates.check(certificate, this.#timeOfDay.now());
    if (this.#denied.has(grant.tokenId))
      throw new HolderRefused(
        grant,
        unauthenticated('the token of this certificate was revoked or has expired'),
      );
    return grant;
  }

  decided(decision: Decision): void {
    this.#decided(decision);
  }

  onRevoked(listener: (tokenId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Takes the cluster's list of what it denies in place of the one before; whoever listens is told of each id that is new in it. */
  deny(ids: readonly string[]): void {
    const before = this.#denied;
    this.#denied = new Set(ids);
    tellAll(
      this.#listeners,
      [...this.#denied].filter((id) => !before.has(id)),
    );
  }
}
