import type { Grant } from '../../../core/access.js';
import type { Doorkeeper } from '../../../core/doorkeeper.js';
import { isCalyxError, type ErrorCode } from '../../../core/errors.js';
import { holderOf } from '../../../core/holder-refused.js';
import { Recent } from '../../../core/recent.js';
import type { RpcPeer } from '../../../protocols/rpc/rpc-program.js';
import {
  ALL_VISIBLE,
  LOOPBACK_RULES,
  narrowed,
  visibleTo,
  type AllowRule,
  type Visible,
} from './nfs-access.js';

/** Who may mount what. */
export interface ClientRules {
  /** Empty: this machine alone, or whoever shows a certificate where one is required. */
  readonly allow: readonly AllowRule[];
  /** Only source ports below 1024, which on the clients only root can use. */
  readonly privilegedPorts: boolean;
  /** Without TLS a client gets handles of directories that all stores have, and nothing else. */
  readonly requireTls: boolean;
  /** Only clients with a certificate of the cluster, and so with TLS. */
  readonly requireClientCertificate: boolean;
  /** Says whose certificates they are; undefined: nobody knows. */
  readonly doorkeeper?: Doorkeeper | undefined;
}

/** Why a client may not mount. */
export interface Refusal {
  readonly reason: ErrorCode;
  /** Goes on after the name of the client. */
  readonly message: string;
}

/** What a client may see: some models, nothing but the outermost directories until it begins TLS, or nothing. */
export type ClientAccess =
  | { readonly kind: 'models'; readonly visible: Visible; readonly grant: Grant | undefined }
  | { readonly kind: 'outside' }
  | { readonly kind: 'refused'; readonly refusal: Refusal; readonly grant: Grant | undefined };

/** Addresses whose access is remembered. */
const KEPT_ADDRESSES = 4096;
const FIRST_UNPRIVILEGED_PORT = 1024;

/**
 * Decides what clients may see: what the rules for their address show and, if they show a certificate, its grant does too. The decision holds
 * for the connection; whoever revokes a grant ends it.
 */
export class ClientPolicy {
  readonly #rules: ClientRules;
  readonly #byAddress = new Recent<string, ClientAccess>(KEPT_ADDRESSES);
  readonly #byPeer = new WeakMap<RpcPeer, ClientAccess>();

  constructor(rules: ClientRules) {
    this.#rules = rules;
  }

  /** From memory, so that it can be asked for each call. */
  accessOf(peer: RpcPeer): ClientAccess {
    if (this.#rules.privilegedPorts && peer.port >= FIRST_UNPRIVILEGED_PORT) return WRONG_PORT;
    if (peer.certificate !== undefined) {
      let known = this.#byPeer.get(peer);
      if (known === undefined) {
        known = this.#withCertificate(peer.address, peer.certificate);
        this.#byPeer.set(peer, known);
      }
      return known;
    }
    const key = `${peer.security} ${peer.address}`;
    let known = this.#byAddress.get(key);
    if (known === undefined) {
      known = this.#withoutCertificate(peer);
      this.#byAddress.set(key, known);
    }
    return known;
  }

  /** The token whose grant a connection uses. */
  tokenOf(peer: RpcPeer): string | undefined {
    const known = this.#byPeer.get(peer);
    return known === undefined || known.kind === 'outside' ? undefined : known.grant?.tokenId;
  }

  #withoutCertificate({ address, security }: RpcPeer): ClientAccess {
    const { requireTls, requireClientCertificate } = this.#rules;
    if (security === 'none' && (requireTls || requireClientCertificate)) return { kind: 'outside' };
    if (requireClientCertificate)
      return refused('unauthenticated', 'showed no certificate of this cluster, which is required');
    return this.#byRules(address, undefined);
  }

  #withCertificate(address: string, certificate: Uint8Array): ClientAccess {
    const { doorkeeper, requireClientCertificate } = this.#rules;
    if (doorkeeper === undefined)
      return requireClientCertificate
        ? refused('unauthenticated', 'showed a certificate, but nobody here knows whose it is')
        : this.#byRules(address, undefined);
    try {
      return this.#byRules(address, doorkeeper.whoIs({ address, certificate }));
    } catch (error) {
      // Also where none is needed: who was shut out does not come in by showing what shut him out.
      if (isCalyxError(error))
        return refused(
          error.code,
          `showed a certificate that does not count: ${error.message}`,
          holderOf(error),
        );
      throw error;
    }
  }

  #byRules(address: string, grant: Grant | undefined): ClientAccess {
    const { allow, requireClientCertificate } = this.#rules;
    const visible =
      allow.length === 0 && requireClientCertificate && grant !== undefined
        ? ALL_VISIBLE
        : visibleTo(address, allow.length === 0 ? LOOPBACK_RULES : allow);
    if (visible === undefined) return refused('refused', 'is named by no --allow', grant);
    return {
      kind: 'models',
      visible: grant === undefined ? visible : narrowed(visible, grant.models),
      grant,
    };
  }
}

const WRONG_PORT = refused('refused', 'came from a port above 1023, which --privileged-ports refuses');

function refused(reason: ErrorCode, message: string, grant?: Grant): ClientAccess {
  return { kind: 'refused', refusal: { reason, message }, grant };
}
