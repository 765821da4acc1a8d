import type { ClusterCredential, StoreAccess } from '../../core/access.js';

/** Stores that ask who comes. */
export interface SecuredAccess extends StoreAccess {
  readonly credential: ClusterCredential;
}

/** True if there is a credential for these stores. */
export function isSecured(access: StoreAccess): access is SecuredAccess {
  return access.credential !== undefined;
}
