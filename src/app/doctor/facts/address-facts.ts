import type { Validity } from '../checks/clock.js';

/** At which stage an address fails; each has a way out of its own. */
export type AddressFailure =
  | 'no-name'
  | 'no-route'
  | 'refused'
  | 'silent'
  | 'cut-off'
  | 'no-tls'
  | 'wants-tls'
  | 'no-handshake'
  | 'other-identity'
  | 'not-a-store'
  | 'expired'
  | 'not-yet-valid'
  | 'not-joined'
  | 'plain'
  | 'no-answer';

/** What a store says of the holder of a token. */
export interface Standing {
  readonly name: string;
  readonly role: string;
  readonly models: string;
  /** Its id; null where nobody is asked for one. */
  readonly token: string | null;
  /** Milliseconds since 1970; null if it is good until it is revoked, undefined if the store does not tell. */
  readonly expiresAt?: number | null | undefined;
}

/** What is at the address of a store. */
export interface AddressFacts {
  /** `https://HOST:PORT`. */
  readonly server: string;
  readonly failure?: { readonly kind: AddressFailure; readonly detail: string } | undefined;
  /** What the server showed, if it is one of the cluster. */
  readonly certificate?: Validity | undefined;
  /** How far our clock is before that of the store. */
  readonly offsetMs?: number | undefined;
  readonly standing?: Standing | undefined;
  /** Why it does not tell us anything. */
  readonly refusal?: { readonly code: string; readonly message: string } | undefined;
  /** Of Calyx there; null if it does not tell. */
  readonly version?: string | null | undefined;
}
