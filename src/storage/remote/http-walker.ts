import { isIP } from 'node:net';
import { Agent, EnvHttpProxyAgent, request, type Dispatcher } from 'undici';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';
import type { TlsTrust } from '../http/server-trust.js';

/** Options of {@link HttpWalker}. */
export interface HttpWalkerOptions {
  /** Sent to `home` alone; a secret. */
  readonly token?: string | undefined;
  /** By what `home` is known, instead of the authorities of this machine. */
  readonly tls?: TlsTrust | undefined;
  /** Longest wait for a connection, the head of an answer, and each next byte of it. @default 30000 */
  readonly stallMs?: number;
  /** To each server, at the same time. @default 16 */
  readonly connections?: number;
}

const DEFAULTS = { stallMs: 30_000, connections: 16 } as const;

/** Longer chains are loops. */
const MAX_REDIRECTS = 8;
/** Signed addresses of object stores have about 1,000 characters. */
const MAX_ADDRESS = 8_192;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);

/** An answer that is no redirect. */
export interface Walked {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Dispatcher.ResponseData['body'];
  /** Who answered. */
  readonly url: URL;
  /** The heads of the redirects on the way, first one first. */
  readonly passed: readonly Walked['headers'][];
}

/**
 * Sends GET requests that follow redirects (RFC 9110, section 15.4). The token goes to one origin alone, however a redirect is
 * written; nobody is led from `https:` to `http:`, nor from another machine to this one.
 */
export class HttpWalker {
  readonly #home: URL;
  readonly #token: string | undefined;
  /** Longest wait for a connection, the head of an answer, and each next byte of it. */
  readonly stallMs: number;
  readonly #general: Dispatcher;
  readonly #own: Dispatcher;

  /** @param home the only origin that sees the token */
  constructor(home: URL, options: HttpWalkerOptions = {}) {
    this.#home = home;
    this.#token = options.token;
    this.stallMs = options.stallMs ?? DEFAULTS.stallMs;
    const shared = {
      connections: options.connections ?? DEFAULTS.connections,
      headersTimeout: this.stallMs,
      bodyTimeout: this.stallMs,
    };
    const plain = { ...shared, connect: { timeout: this.stallMs } };
    this.#general = behindProxy() ? new EnvHttpProxyAgent(plain) : new Agent(plain);
    this.#own =
      options.tls === undefined
        ? this.#general
        : new Agent({ ...shared, connect: { timeout: this.stallMs, ...options.tls } });
  }

  /**
   * Asks for `url`. The body of the answer must be read or destroyed.
   *
   * @throws CalyxError `unavailable` or `timeout` if there is no answer, `refused` for a redirect that is not followed; rejects
   * with the signal's reason
   */
  async get(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Walked> {
    const passed: Walked['headers'][] = [];
    for (let at = url; ;) {
      const answer = await this.#ask(at, headers, signal);
      const { location } = answer.headers;
      if (!REDIRECTS.has(answer.statusCode) || typeof location !== 'string')
        return { status: answer.statusCode, headers: answer.headers, body: answer.body, url: at, passed };
      destroy(answer.body);
      passed.push(answer.headers);
      const next = location.length > MAX_ADDRESS ? null : parse(location, at);
      if (next === null || passed.length > MAX_REDIRECTS)
        throw new CalyxError('unavailable', `${at.origin} leads on without an end or to no address`);
      refuseDescent(at, next);
      at = next;
    }
  }

  close(): Promise<void> {
    return Promise.all([this.#general.destroy(), this.#own.destroy()]).then(() => undefined);
  }

  async #ask(
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<Dispatcher.ResponseData> {
    const atHome = url.origin === this.#home.origin;
    try {
      return await request(url, {
        dispatcher: atHome ? this.#own : this.#general,
        headers: {
          'user-agent': 'calyx',
          // Not a byte of a model may be changed on the way.
          'accept-encoding': 'identity',
          ...headers,
          ...(atHome && this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        },
        signal,
      });
    } catch (error) {
      signal.throwIfAborted();
      throw explainFailure(error, url, this.stallMs);
    }
  }
}

/** Ends an exchange whose body nobody wants. */
export function destroy(body: Walked['body']): void {
  body.on('error', () => undefined).destroy();
}

/** The error for a connection that failed: never the whole address, which may be signed. */
export function explainFailure(error: unknown, url: URL, stallMs: number): CalyxError {
  const code = systemCode(error) ?? '';
  if (/^UND_ERR_(?:CONNECT|HEADERS|BODY)_TIMEOUT$/.test(code))
    return new CalyxError('timeout', `${url.origin} sent nothing for ${stallMs / 1000} s`, { cause: error });
  const reason = errorMessage(error) || code;
  if (/CERT|ERR_TLS|SIGNATURE|ERR_SSL/.test(code))
    return new CalyxError(
      'refused',
      `the server at ${url.origin} is not trusted: ${reason}; nothing was sent`,
      {
        hint: 'if it has a certificate of your own authority, name that in NODE_EXTRA_CA_CERTS; a Calyx store is known after calyx join',
        cause: error,
      },
    );
  return new CalyxError('unavailable', `${url.origin} cannot be reached (${reason})`, {
    hint: 'check the address, the network, and the proxy if there is one (HTTPS_PROXY)',
    cause: error,
  });
}

/** True for addresses of this machine, as `URL.hostname` writes them. */
export function isLoopback({ hostname }: URL): boolean {
  return (
    hostname === 'localhost' || hostname === '[::1]' || (isIP(hostname) === 4 && hostname.startsWith('127.'))
  );
}

function parse(location: string, base: URL): URL | null {
  const url = URL.canParse(location, base.href) ? new URL(location, base) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '')
    return null;
  return url;
}

/** @throws CalyxError `refused` for a redirect to where nobody is led: from `https:` to `http:`, or from another machine to this one */
export function refuseDescent(from: URL, to: URL): void {
  const bare = from.protocol === 'https:' && to.protocol === 'http:';
  if (!bare && (isLoopback(from) || !isLoopback(to))) return;
  const what = bare ? 'from https: to http:' : 'from another machine to this one';
  throw new CalyxError('refused', `${from.origin} leads ${what} (${to.origin}), which is not followed`, {
    hint: 'do not trust this server, or ask whoever runs it to serve its files by https',
  });
}

function behindProxy(): boolean {
  const names = ['https_proxy', 'HTTPS_PROXY', 'http_proxy', 'HTTP_PROXY'];
  return names.some((name) => (process.env[name] ?? '') !== '');
}
