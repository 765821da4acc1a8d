import { WRITER_NAME, type ClusterCredential } from '../../../core/access.js';
import type { SecuredAccess } from '../../node/secured-access.js';

/** How the writer of a cluster is asked, the store with its key; and nobody else, whatever addresses there are besides its own. */
export interface WriterAccess extends SecuredAccess {
  readonly credential: ClusterCredential & { readonly server: typeof WRITER_NAME };
}

/**
 * Binds a token to the writer: a server that has not proven to be it in the handshake is sent nothing. The token of a replica is one of
 * role admin, and with it each other store could make tokens, too.
 */
export function writerAccess({ urls, credential }: SecuredAccess): WriterAccess {
  return { urls, credential: { ...credential, server: WRITER_NAME } };
}
