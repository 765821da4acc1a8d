import type { Grant } from './access.js';

/** What somebody shows at a door. */
export interface Presented {
  /** Without the prefix of mapped IPv4 addresses. */
  readonly address: string;
  /** The text of a token, as it was sent. */
  readonly token?: string | undefined;
  /** A certificate (DER) of which TLS has proven that the cluster issued it, that it is not over, and that whoever shows it has its key. */
  readonly certificate?: Uint8Array | undefined;
}

/** Where somebody came in. */
export type Door = 'http' | 'nfs' | 'stage' | 'management';

/** How somebody was answered, for the audit log. */
export interface Decision {
  readonly door: Door;
  /** What was asked for, without secrets: `GET /v1/blobs/:digest`, `mount`, `token create`. */
  readonly action: string;
  /** Which model or thing it was about, if that is known. */
  readonly subject?: string | undefined;
  readonly address: string;
  /** Undefined if it is not known who asked. Of who was turned away it says whose token that was, if its secret was right. */
  readonly grant?: Grant | undefined;
  readonly allowed: boolean;
  /** Why not, in a word: a code of CalyxError. */
  readonly reason?: string | undefined;
}

/** The port through which all doors of a store or node ask who somebody is. */
export interface Doorkeeper {
  /**
   * Who somebody is; from memory, so that it can be asked for each request.
   *
   * @throws CalyxError `unauthenticated` for nothing shown, or something wrong, expired, revoked or of another cluster, each told apart in
   * the message only to who knows the secret; `limited` for too many wrong attempts or too many requests. Whoever has proven who it is
   * stands in a HolderRefused
   */
  whoIs(presented: Presented): Grant;
  /** Told of each decision. Never throws, never waits. */
  decided(decision: Decision): void;
  /**
   * Calls `listener` with the id of each token that is revoked or expires from now on, at the moment when it happens; whatever is
   * still under way for it must then be ended. Returns what ends the subscription.
   */
  onRevoked(listener: (tokenId: string) => void): () => void;
}
