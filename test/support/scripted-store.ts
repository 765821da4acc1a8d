import { createServer as createHttpsServer, type Server } from 'node:https';
import { request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createHash } from 'node:crypto';
import type { StoreAccess } from '../../src/core/access.js';
import { serverAuth, type Says, type SmallPki } from './small-pki.js';

/**
 * Stands before an open store as its secured one would: HTTPS, certificates for those with a token, and the list of revoked
 * tokens. Everything else the open store answers. What it says is all in the hands of the test.
 */
export class ScriptedStore {
  /** What certificates of each token (as it is sent) say; whoever sends another is refused. */
  readonly tokens = new Map<string, Says>();
  /** How many certificates were issued. */
  issued = 0;
  /** Drops every connection without an answer while it is set. */
  away = false;
  /** Of the list of revoked tokens. */
  version = 1000;
  denied: readonly string[] = [];
  /** How often it was told. */
  told = 0;
  /** Signs that list: the cluster, or somebody else. */
  signer: SmallPki;
  readonly #pki: SmallPki;
  readonly #server: Server;
  readonly #store: URL;
  readonly #waiting = new Set<() => void>();

  private constructor(pki: SmallPki, server: Server, store: URL) {
    this.#pki = pki;
    this.signer = pki;
    this.#server = server;
    this.#store = store;
    server.on('request', (request, response) => {
      if (this.away) {
        request.socket.destroy();
        return;
      }
      void this.#answer(request, response).catch(() => request.socket.destroy());
    });
  }

  static async start(pki: SmallPki, storeUrl: string): Promise<ScriptedStore> {
    const own = await pki.pair({ dns: ['store.calyx.internal'], usages: [serverAuth] });
    const server = createHttpsServer({ key: own.key, cert: own.certificate });
    const front = new ScriptedStore(pki, server, new URL(storeUrl));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return front;
  }

  /** How a client with this token asks it. */
  access(token: string): StoreAccess {
    const { port } = this.#server.address() as AddressInfo;
    return {
      urls: [new URL(`https://127.0.0.1:${port}`)],
      credential: { ca: this.#pki.certificate, token },
    };
  }

  /** Tells that a token is revoked, as of the next version or another one. */
  deny(id: string, version = this.version + 1): void {
    this.denied = [...this.denied, id];
    this.version = version;
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** How many wait for news of that list. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Breaks the connections that there are. */
  hangUp(): void {
    this.#server.closeAllConnections();
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const says = this.tokens.get(request.headers.authorization?.replace(/^Bearer /, '') ?? '');
    const path = request.url ?? '';
    if (says === undefined) {
      json(response, 401, { error: { code: 'unauthenticated', message: 'this token was revoked' } });
    } else if (path === '/v1/certificates') {
      const { request: wanted } = JSON.parse(await text(request)) as { request: string };
      this.issued += 1;
      const own = await this.#pki.sign(wanted, says);
      json(response, 200, { certificate: `${own}${this.#pki.certificate}`, expiresAt: Date.now() });
    } else if (path.startsWith('/v1/access/denied?after=')) {
      if (path.endsWith(`=${this.version}`)) await new Promise<void>((wake) => this.#waiting.add(wake));
      const statement = JSON.stringify({ version: this.version, denied: this.denied });
      const signature = this.signer.signature(Buffer.from(`calyx denied 1\n${statement}`));
      json(response, 200, { statement, signature });
      this.told += 1;
    } else this.#passOn(request, response);
  }

  #passOn(request: IncomingMessage, response: ServerResponse): void {
    const headers = { ...request.headers };
    delete headers.authorization;
    delete headers.host;
    const { hostname, port } = this.#store;
    const onward = httpRequest(
      { hostname, port, path: request.url, method: request.method, headers },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }
}

/** A token as it is sent; only its form matters here. */
export function tokenText(id: string, ca: string): string {
  const der = Buffer.from(ca.replace(/-----[^-]+-----|\s/g, ''), 'base64');
  return `calyx1.${id}.${'s'.repeat(43)}.${createHash('sha256').update(der).digest('base64url')}`;
}

function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

async function text(request: IncomingMessage): Promise<string> {
  let all = '';
  for await (const piece of request.setEncoding('utf8')) all += String(piece);
  return all;
}
