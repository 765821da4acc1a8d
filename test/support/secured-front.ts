import { request as ask, type IncomingMessage, type ServerResponse } from 'node:http';
import type { ClusterIdentity } from '../../src/cluster/identity/cluster-identity.js';
import { serveSecurely, tokenOf } from './secure-server.js';

/** What somebody asked for, and with which token. */
export interface Asked {
  readonly path: string;
  readonly authorization: string | undefined;
}

/** A secured store: TLS and a token before one that is open. */
export interface SecuredFront {
  readonly url: URL;
  /** `HOST:PORT`. */
  readonly address: string;
  /** What was asked so far, over TLS. */
  readonly asked: readonly Asked[];
}

/**
 * Puts TLS, the check of one token and signatures of refs before an open store, for the time of a test.
 *
 * @param store the open one; without it only `/v1/whoami` is answered
 */
export async function secureStore(cluster: ClusterIdentity, store?: string): Promise<SecuredFront> {
  const asked: Asked[] = [];
  const url = await serveSecurely(cluster, (request, response) => {
    const { authorization } = request.headers;
    asked.push({ path: request.url ?? '', authorization });
    if (authorization !== `Bearer ${tokenOf(cluster)}`)
      tell(response, 401, { error: { code: 'unauthenticated', message: 'this token is not known here' } });
    else if (request.url === '/v1/whoami') tell(response, 200, { name: 'tester', role: 'read', models: '*' });
    else if (store === undefined) tell(response, 404, {});
    else pass(cluster, new URL(request.url ?? '', store), request, response);
  });
  return { url, address: url.host, asked };
}

/** The line by which a cluster is joined at some addresses. */
export function joinStringOf(cluster: ClusterIdentity, ...addresses: string[]): string {
  return `calyx://${addresses.join(',')}/#${tokenOf(cluster)}`;
}

function tell(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function pass(cluster: ClusterIdentity, url: URL, from: IncomingMessage, to: ServerResponse): void {
  const kept = Object.entries(from.headers).filter(([name]) => name !== 'authorization');
  const headers = { ...Object.fromEntries(kept), host: url.host };
  const inner = ask(url, { method: from.method ?? 'GET', headers }, (answer) => {
    const ref = /^\/v1\/models\/[^/]+\/[^/]+\/revisions\/([^/]+)$/.exec(url.pathname)?.[1];
    if (ref === undefined || answer.statusCode !== 200) {
      to.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(to);
      return;
    }
    let text = '';
    answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    answer.on('end', () => {
      const said = JSON.parse(text) as { model: string; revision: string; manifest: string; generation: number };
      tell(to, 200, { ...said, ref, signature: cluster.signRef({ ...said, ref }) });
    });
  }); // prettier-ignore
  inner.on('error', () => to.destroy());
  from.pipe(inner);
}
