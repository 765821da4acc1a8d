import { createServer as createHttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { onTestFinished } from 'vitest';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import type { Holder, RealCluster } from './real-cluster.js';

/** A store with a certificate that the writer has issued to it, which has turned bad: what it says is in the hands of the test. */
export class BadReplica {
  /** `HOST:PORT`. */
  readonly address: string;
  /** What it answers by path; everything else it cannot do now. */
  readonly says = new Map<string, unknown>();
  /** How often it was asked, by path. */
  readonly asked = new Map<string, number>();
  /** How many connections came; whoever asks for the writer ends them in the handshake. */
  met = 0;
  readonly #heard: Buffer[] = [];

  private constructor(key: string, certificate: string, listening: (address: string) => void) {
    const http = createHttpServer((request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      const body = this.says.get(path);
      this.asked.set(path, (this.asked.get(path) ?? 0) + 1);
      response.writeHead(body === undefined ? 503 : 200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body ?? { error: { code: 'unavailable', message: 'not now' } }));
    });
    const tls = createTlsServer({ key, cert: certificate, minVersion: 'TLSv1.3' }, (socket) => {
      socket.on('data', (bytes: Buffer) => this.#heard.push(bytes)).on('error', () => undefined);
      http.emit('connection', socket);
    });
    tls.on('connection', () => (this.met += 1)).on('tlsClientError', () => undefined);
    this.address = '';
    tls.listen(0, '127.0.0.1', () => listening(`127.0.0.1:${(tls.address() as AddressInfo).port}`));
    onTestFinished(() => {
      http.closeAllConnections();
      tls.close();
    });
  }

  /** @param admin with whose token it once became a replica */
  static async start(cluster: RealCluster, admin: Holder): Promise<BadReplica> {
    const { key, request } = await createCertificateRequest();
    const body = { request, names: ['127.0.0.1'] };
    const told = await cluster.ask({ method: 'POST', path: '/v1/certificates', body, token: admin.text });
    const { certificate } = JSON.parse(told.body) as { certificate: string };
    return new Promise((resolve) => {
      const bad: BadReplica = new BadReplica(key, certificate, (address) =>
        resolve(Object.assign(bad, { address })),
      );
    });
  }

  /** Every byte that it was sent, without the TLS around it. */
  get heard(): string {
    return Buffer.concat(this.#heard).toString('latin1');
  }
}
