import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request as askPlain, type IncomingMessage } from 'node:http';
import { request as askSecurely, type Agent, type RequestOptions } from 'node:https';
import { join } from 'node:path';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import { NODE_NAME, STORE_NAME, type Role } from '../../src/core/access.js';
import { formatJoinString, formatToken, parseToken } from '../../src/core/cluster-token.js';
import { startStore, type RunningStore } from './running-store.js';
import type { Pair } from './small-pki.js';

/** A token as a test uses it. */
export interface Holder {
  readonly id: string;
  /** How the audit log calls the holder. */
  readonly name: string;
  readonly role: Role;
  /** The token itself. */
  readonly text: string;
}

/** A request as anybody could make it. */
export interface Question {
  readonly method?: string;
  readonly path: string;
  readonly token?: string | undefined;
  /** Sent as JSON, unless it is bytes. */
  readonly body?: unknown;
  /** @default application/json */
  readonly type?: string;
  /** The address of this machine that it comes from: all of 127.0.0.0/8 are. */
  readonly from?: string;
  readonly pair?: Pair | undefined;
  readonly agent?: Agent;
}

/** The answer to one. */
export interface Told {
  readonly status: number;
  /** Of the error; undefined if it is none. */
  readonly code: string | undefined;
  readonly body: string;
  readonly headers: IncomingMessage['headers'];
}

/** A secured store in a process of its own, and all that a test needs to come in by each of its doors. */
export class RealCluster {
  readonly data: string;
  readonly store: RunningStore;
  /** Its certificate, PEM. */
  readonly ca: string;
  readonly local: Holder;

  private constructor(data: string, store: RunningStore) {
    this.data = data;
    this.store = store;
    this.ca = certificateOf(data);
    this.local = holderOf(
      readFileSync(join(clusterOf(data), 'local-token'), 'utf8').trim(),
      'local',
      'admin',
    );
  }

  static async start(data: string, options: Parameters<typeof startStore>[1] = {}): Promise<RealCluster> {
    const args = ['--tls', ...(options.args ?? [])];
    return new RealCluster(data, await startStore(data, { ...options, args }));
  }

  /** By what `calyx` finds this store: for CALYX_STORE. */
  joinString({ text }: Holder, address = `127.0.0.1:${this.store.port}`): string {
    const token = parseToken(text);
    if (token === undefined) throw new Error('this is no token');
    return formatJoinString({ addresses: [address], token });
  }

  /** Makes a token. */
  async token(
    role: Role,
    more: { name?: string; models?: string; expiresIn?: number } = {},
  ): Promise<Holder> {
    const wanted = { name: role, role, models: '*', ...more };
    const body = await this.manage('POST', '/v1/tokens', wanted);
    return holderOf((JSON.parse(body) as { token: string }).token, wanted.name, role);
  }

  revoke({ id }: Holder): Promise<unknown> {
    return this.manage('DELETE', `/v1/tokens/${id}`);
  }

  /** Key and certificate for the holder of a token, as the store issues them. */
  certificate({ text }: Holder): Promise<Pair> {
    return certificateFrom((question) => this.ask(question), text);
  }

  /** Asks the store; `token` undefined shows none. */
  ask(question: Question): Promise<Told> {
    return ask(this.store.url, { ca: this.ca, servername: STORE_NAME }, question);
  }

  /** Asks a node of the cluster. */
  askNode(url: string, question: Question): Promise<Told> {
    return ask(url, { ca: this.ca, servername: NODE_NAME }, question);
  }

  /** Asks as who may manage; throws unless that was done. */
  async manage(method: string, path: string, body?: unknown): Promise<string> {
    const told = await this.ask({ method, path, body, token: this.local.text });
    if (told.status >= 300) throw new Error(`${method} ${path}: ${told.status} ${told.body}`);
    return told.body;
  }
}

/** Lets a store that is asked by `asked` issue a certificate. */
export async function certificateFrom(
  asked: (question: Question) => Promise<Told>,
  token: string,
): Promise<Pair> {
  const { key, request } = await createCertificateRequest();
  const told = await asked({ method: 'POST', path: '/v1/certificates', body: { request }, token });
  if (told.status !== 200) throw new Error(`${told.status} ${told.body}`);
  return { key, certificate: (JSON.parse(told.body) as { certificate: string }).certificate };
}

/** Asks a server by Node's own client; `tls` counts for https only. */
export function ask(
  url: string,
  tls: Pick<RequestOptions, 'ca' | 'servername'>,
  { method = 'GET', path, token, body, type = 'application/json', from, pair, agent }: Question,
): Promise<Told> {
  return new Promise((resolve, reject) => {
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': type }),
    };
    const shown = pair && { key: pair.key, cert: pair.certificate };
    const secure = url.startsWith('https:');
    const options: RequestOptions = {
      ...{ method, headers, agent: agent ?? false, ...(from !== undefined && { localAddress: from }) },
      ...(secure && { ...tls, ...shown }),
    };
    const request = (secure ? askSecurely : askPlain)(url + path, options, (answer) => {
      let text = '';
      answer.setEncoding('latin1').on('data', (piece: string) => (text += piece));
      answer.once('error', reject).once('end', () => {
        const { statusCode: status = 0, headers: told } = answer;
        resolve({ status, code: codeOf(status, text), body: text, headers: told });
      });
    });
    request
      .once('error', reject)
      .end(body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body));
  });
}

/** A token like another, with another secret. */
export function wrongSecret({ text }: Holder): string {
  const token = parseToken(text);
  if (token === undefined) throw new Error('this is no token');
  return formatToken({ ...token, secret: randomBytes(32).toString('base64url') });
}

/** The part of a token that nobody may see. */
export function secretOf(text: string): string {
  return parseToken(text)?.secret ?? text;
}

/** A token by its text. */
export function holderOf(text: string, name: string, role: Role): Holder {
  return { id: parseToken(text)?.id ?? '', name, role, text };
}

/** Where a data directory keeps what is not for everybody. */
export function clusterOf(data: string): string {
  return join(data, '.calyx/cluster');
}

/** The certificate of the cluster of a data directory, PEM. */
export function certificateOf(data: string): string {
  const text = readFileSync(join(clusterOf(data), 'identity.pem'), 'utf8');
  const [certificate] = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----\n/.exec(text) ?? [];
  if (certificate === undefined) throw new Error('there is no certificate');
  return certificate;
}

function codeOf(status: number, body: string): string | undefined {
  if (status < 400) return undefined;
  try {
    const told = JSON.parse(body) as { error?: { code?: string } | string; code?: string };
    // In the form of the Hub the error is a text, and the code stands beside it.
    return typeof told.error === 'string' ? told.code : told.error?.code;
  } catch {
    return undefined;
  }
}
