import { request as askPlain, type IncomingMessage } from 'node:http';
import { request as askSecurely } from 'node:https';
import { errorMessage, systemCode } from '../../../core/errors.js';
import { clusterTls } from '../../../storage/http/server-trust.js';
import { StageFailure } from './handshake.js';

/** How a question is put. */
export interface Question {
  readonly url: URL;
  readonly path: string;
  /** The certificate of the cluster, PEM; for `https:`. */
  readonly ca?: string | undefined;
  readonly token?: string | undefined;
  /** Asks although the certificate is out of date: only where nothing secret is sent and nothing that is answered is believed. */
  readonly anyDate?: boolean;
}

/** An answer, with what it tells of the time there. */
export interface Answered {
  readonly status: number;
  /** JSON; undefined if it is none. */
  readonly body: unknown;
  /** How far our clock is before that of the server. */
  readonly offsetMs: number | undefined;
}

/** Whatever we ask for has a few hundred bytes. */
const MAX_BYTES = 64 * 1024;
/** The header Date leaves out what is less than a second: half of one on average. */
const DATE_ROUNDING_MS = 500;

/** Sends one GET on a connection of its own. Throws StageFailure. */
export async function askOnce(question: Question, signal: AbortSignal): Promise<Answered> {
  const sentAt = Date.now();
  try {
    const answer = await send(question, signal);
    const receivedAt = Date.now();
    const pieces: Buffer[] = [];
    let size = 0;
    for await (const piece of answer as AsyncIterable<Buffer>) {
      size += piece.byteLength;
      if (size > MAX_BYTES) throw new StageFailure('no-answer', 'its answer is longer than any of a store');
      pieces.push(piece);
    }
    const date = Date.parse(answer.headers.date ?? '');
    return {
      status: answer.statusCode ?? 0,
      body: parse(Buffer.concat(pieces).toString('utf8')),
      offsetMs: Number.isNaN(date) ? undefined : (sentAt + receivedAt) / 2 - (date + DATE_ROUNDING_MS),
    };
  } catch (error) {
    if (error instanceof StageFailure) throw error;
    if (signal.aborted) throw new StageFailure('silent', 'it takes connections, but does not answer');
    const code = systemCode(error);
    const cut = code === 'ECONNRESET' || code === 'EPIPE';
    throw new StageFailure(cut ? 'cut-off' : 'no-answer', errorMessage(error).slice(0, 200));
  }
}

function send({ url, path, ca, token, anyDate }: Question, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const options = {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port || (url.protocol === 'https:' ? 443 : 80)),
      path: url.pathname.replace(/\/$/, '') + path,
      headers: { host: url.host, ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      agent: false as const,
      signal,
    };
    const request =
      ca === undefined
        ? askPlain(options)
        : askSecurely({ ...options, ...clusterTls(ca), rejectUnauthorized: anyDate !== true });
    request.once('response', resolve).once('error', reject).end();
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
