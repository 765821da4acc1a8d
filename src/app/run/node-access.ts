import type { StoreAccess } from '../../core/access.js';
import type { ModelName } from '../../core/names.js';
import type { StageHttpOptions } from '../../inference/stage-http.js';
import { ClusterCertificate } from '../node/cluster-certificate.js';
import { isSecured } from '../node/secured-access.js';
import { NodeConnections } from './node-connections.js';

/** How the nodes of a model are reached. */
export interface NodeAccess {
  /** @throws CalyxError `refused` for an address that must not be used */
  readonly reach: (url: string) => StageHttpOptions;
  close(): Promise<void>;
}

/**
 * With a credential, nodes are reached by mutual TLS, with a certificate that a store issues for it; else as their addresses say.
 *
 * @throws CalyxError as ClusterCertificate.obtain does
 */
export async function openNodeAccess(
  access: StoreAccess,
  model: ModelName,
  signal: AbortSignal,
): Promise<NodeAccess> {
  if (!isSecured(access)) return { reach: () => ({}), close: () => Promise.resolve() };
  const certificate = await ClusterCertificate.obtain(access, signal);
  const connections = new NodeConnections(certificate, model);
  return {
    reach: (url) => connections.options(url),
    close: async () => {
      await connections.close();
      await certificate.close();
    },
  };
}
