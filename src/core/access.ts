/** What somebody may do; each role may do what those before it may. */
export const ROLES = ['read', 'node', 'admin'] as const;

/**
 * - `read`: read models, see which nodes there are, and let nodes generate
 * - `node`: also join the cluster as a node
 * - `admin`: also publish, remove, and manage tokens
 */
export type Role = (typeof ROLES)[number];

/** What a door asks for: a role, or nothing at all. */
export type Access = Role | 'open';

/** Who somebody is, and what that one may do. Every door of a cluster hands it to those behind it. */
export interface Grant {
  /** Which token it comes from; undefined where nobody was asked for one. */
  readonly tokenId: string | undefined;
  /** For people: how logs call the holder. */
  readonly name: string;
  readonly role: Role;
  /** A pattern of models (see model-pattern.ts); `*` for all. */
  readonly models: string;
}

/** True if a role is at least another. */
export function hasRole(grant: Grant, role: Role): boolean {
  return ROLES.indexOf(grant.role) >= ROLES.indexOf(role);
}

/** Whoever reaches a door that asks nobody: one on loopback, or one that was opened with `--insecure`. */
export const ANYBODY: Grant = { tokenId: undefined, name: 'anybody', role: 'node', models: '*' };

/** What a server needs to speak TLS; all PEM. */
export interface TlsSettings {
  readonly key: string;
  /** The certificate, and after it the one of the cluster, so that a client can compare its fingerprint. */
  readonly certificate: string;
  /** The certificate of the cluster: those of clients must be issued by it. */
  readonly ca: string;
}

/** Why and how a store is trusted, and what it is told about who asks. A plain value, so that it can go to another thread. */
export interface ClusterCredential {
  /** The certificate of the cluster, PEM: the only trust anchor. */
  readonly ca: string;
  /** The token, as it is sent; a secret. */
  readonly token: string;
  /** Whom it is sent to: servers with this name in their certificate. @default STORE_NAME */
  readonly server?: typeof STORE_NAME | typeof WRITER_NAME;
}

/** Stores of one cluster, and how they are asked. */
export interface StoreAccess {
  /** At least one, in the order in which they are asked. */
  readonly urls: readonly URL[];
  /** Undefined for stores that ask nobody. */
  readonly credential: ClusterCredential | undefined;
}

/** The name in the certificate of each store, by which clients know it under any address. */
export const STORE_NAME = 'store.calyx.internal';

/**
 * The name in the certificate of the writer alone, the store with the key of the cluster, which knows it from its replicas before
 * anything is sent.
 */
export const WRITER_NAME = 'writer.calyx.internal';

/** The name in the certificate of each node. */
export const NODE_NAME = 'node.calyx.internal';
