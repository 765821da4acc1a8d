import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { NodeDoorkeeper } from '../../cluster/tokens/node-doorkeeper.js';
import { hasRole, type StoreAccess } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import { replaceCertificate, type HttpServerOptions } from '../../protocols/http/create-server.js';
import { ClusterCertificate } from './cluster-certificate.js';
import { firstContact } from './first-contact.js';
import { DenyListFollower } from './follow-denied.js';
import { RefusalLog } from './refusal-log.js';
import { isSecured, type SecuredAccess } from './secured-access.js';

/** Options of {@link openNodeDoor}. */
export interface NodeDoorOptions {
  readonly stores: StoreAccess;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

type Listener = Pick<
  HttpServerOptions,
  'tls' | 'requestCertificates' | 'doorkeeper' | 'door' | 'requireToken'
>;

/** Who may use a node, and how the node shows what it is. */
export interface NodeDoor {
  /** For the HTTP server, as of now; resolves when it is known which tokens are revoked. */
  listener(): Promise<Listener>;
  /** Lets a server that was made so show each certificate that comes after. */
  keepFresh(server: FastifyInstance): void;
  /** Resolves with the reason when the node may not be one any more; never otherwise. */
  readonly over: Promise<CalyxError>;
  close(): Promise<void>;
}

/**
 * With a credential, a node gets a certificate, asks others for theirs, and follows which tokens are revoked. Without one, whoever
 * reaches it may use it.
 *
 * @throws CalyxError `refused` if the token is not one for nodes, `unauthenticated` if it is not good, `unavailable` if no store answers
 */
export async function openNodeDoor({ stores, logger, signal }: NodeDoorOptions): Promise<NodeDoor> {
  return isSecured(stores) ? securedDoor(stores, logger, signal) : OPEN_DOOR;
}

const OPEN_DOOR: NodeDoor = {
  listener: () => Promise.resolve({ door: 'stage', requireToken: false }),
  keepFresh: () => undefined,
  over: new Promise(() => undefined),
  close: () => Promise.resolve(),
};

async function securedDoor(access: SecuredAccess, logger: Logger, signal: AbortSignal): Promise<NodeDoor> {
  const certificate = await firstContact(() => ClusterCertificate.obtain(access, signal, { logger }), {
    signal,
    logger,
  });
  const { name, role } = certificate.grant;
  if (!hasRole(certificate.grant, 'node')) {
    await certificate.close();
    throw new CalyxError('refused', `the token '${name}' has the role '${role}', and a node needs 'node'`, {
      hint: "join with a token that 'calyx token create --role node' printed",
    });
  }
  const refusals = new RefusalLog(logger);
  const doorkeeper = new NodeDoorkeeper({
    grantOfCertificate,
    decided: (decision) => refusals.decided(decision),
  });
  const follower = new DenyListFollower({ access, logger, deny: (ids) => doorkeeper.deny(ids) });
  return {
    listener: async () => {
      await follower.started;
      const { tls } = certificate;
      return { tls, requestCertificates: true, doorkeeper, door: 'stage', requireToken: true };
    },
    keepFresh: (server) => {
      certificate.onRenewed((tls) => replaceCertificate(server, tls));
    },
    over: certificate.over,
    close: async () => {
      await follower.stop();
      await certificate.close();
    },
  };
}
