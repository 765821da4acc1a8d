import type { TLSSocket } from 'node:tls';
import { Agent, buildConnector } from 'undici';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { hasRole, NODE_NAME, type TlsSettings } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import type { ModelName } from '../../core/names.js';
import { formatModelName } from '../../core/names.js';
import { showsModel } from '../../core/shown-models.js';
import { CONNECT_TIMEOUT_MS, STAGE_CONNECTIONS, type StageHttpOptions } from '../../inference/stage-http.js';
import type { ClusterCertificate } from '../node/cluster-certificate.js';

/**
 * Connections to the nodes of a model by mutual TLS: we show our certificate, and whoever answers must show one of a node of the same
 * cluster that may serve this model; before that, nothing is sent.
 */
export class NodeConnections {
  readonly #certificate: ClusterCertificate;
  readonly #model: ModelName;
  readonly #ended: () => void;
  #agent: Agent;

  constructor(certificate: ClusterCertificate, model: ModelName) {
    this.#certificate = certificate;
    this.#model = model;
    this.#agent = this.#connect();
    this.#ended = certificate.onRenewed(() => {
      const before = this.#agent;
      this.#agent = this.#connect();
      // Ends when its requests have; a node takes no further ones when its certificate is over.
      void before.close();
    });
  }

  /**
   * How a node is reached.
   *
   * @throws CalyxError `refused` for an address without TLS: an entry in a list must not make us speak openly
   */
  options(url: string): StageHttpOptions {
    if (new URL(url).protocol !== 'https:') throw withoutTls(url);
    return { dispatcher: () => this.#agent };
  }

  /** Breaks all connections. */
  async close(): Promise<void> {
    this.#ended();
    await this.#agent.destroy();
  }

  #connect(): Agent {
    return new Agent({ ...STAGE_CONNECTIONS, connect: nodeConnector(this.#certificate.tls, this.#model) });
  }
}

function nodeConnector({ key, certificate, ca }: TlsSettings, model: ModelName): buildConnector.connector {
  const connect = buildConnector({
    key,
    cert: certificate,
    ca,
    minVersion: 'TLSv1.3',
    // Not left to its default: NODE_TLS_REJECT_UNAUTHORIZED would change that.
    rejectUnauthorized: true,
    timeout: CONNECT_TIMEOUT_MS,
    // A session that is taken up again would not show the certificate that counts now.
    maxCachedSessions: 0,
  });
  return (options, callback) => {
    const url = `${options.protocol}//${options.hostname}:${options.port}`;
    if (options.protocol !== 'https:') {
      callback(withoutTls(url), null);
      return;
    }
    connect({ ...options, servername: NODE_NAME }, (...[error, socket]) => {
      if (error !== null) {
        callback(error, null);
        return;
      }
      const problem = problemOf(socket as TLSSocket, model);
      if (problem === undefined) {
        callback(null, socket);
        return;
      }
      socket.destroy();
      callback(new CalyxError('refused', `${url}: ${problem}`), null);
    });
  };
}

/** TLS has proven that the cluster issued the certificate, for a node; not for which models. */
function problemOf(socket: TLSSocket, model: ModelName): string | undefined {
  const shown = socket.authorized ? socket.getPeerX509Certificate() : undefined;
  const grant = shown === undefined ? undefined : grantOfCertificate(shown.raw);
  if (grant === undefined || !hasRole(grant, 'node')) return 'its certificate is not one of a node';
  if (showsModel(grant, model)) return undefined;
  return `its certificate (${grant.name}) is one of a node of ${grant.models}, not of ${formatModelName(model)}`;
}

function withoutTls(url: string): CalyxError {
  return new CalyxError(
    'refused',
    `${url} is an address without TLS, and the nodes of this cluster have it`,
    {
      hint: 'start that node again after it has joined the cluster: calyx join',
    },
  );
}
