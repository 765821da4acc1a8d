import type { Logger } from 'pino';
import { z } from 'zod';
import { signedStatementSchema, versionSchema } from '../../../cluster/tokens/token-record.js';
import { readDenied, readTokens } from '../../../cluster/tokens/token-statements.js';
import type { ToldTokens } from '../../../cluster/tokens/told-tokens.js';
import type { TokenTable } from '../../../cluster/tokens/token-table.js';
import { systemClock, type Clock } from '../../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../../core/errors.js';
import { JsonClient } from '../../../protocols/http/json-client.js';
import type { WriterAccess } from './writer-access.js';

/** Options of {@link TokenFollower}. */
export interface TokenFollowerOptions {
  readonly access: WriterAccess;
  readonly table: TokenTable;
  readonly logger: Logger;
  /** When the table was told that there is, in milliseconds since 1970; undefined if there is none. */
  readonly toldAt: number | undefined;
  /** @default systemClock */
  readonly clock?: Clock;
}

const newsSchema = z.object({ tokens: signedStatementSchema, denied: signedStatementSchema });
const answerSchema = z.union([newsSchema, z.object({ version: versionSchema })]);
type News = z.infer<typeof newsSchema>;
type Answer = z.infer<typeof answerSchema>;

/** A store answers within 20 s, also when nothing has changed. */
const POLL_TIMEOUT_MS = 30_000;
/** Who is asked for the first time answers at once. */
const FIRST_TIMEOUT_MS = 5_000;
/** Room for all the tokens that a store can have, twice as text of text. */
const MAX_TABLE_BYTES = 32 * 1024 * 1024;
/** A store that answers at once each time is not asked more often than that; after a long wait it is asked again at once. */
const LEAST_PERIOD_MS = 100;
const RETRY_MS = 500;

/**
 * Keeps the table of a replica equal to that of the store which makes the tokens (the writer): of all addresses that are known, the one
 * that proves to be it. It answers at the moment when the table changes. Only what the cluster has signed counts, and nothing that is
 * older than what is known. While the writer does not answer, the last table counts; when it does not take the replica's own token any
 * more, the replica is none.
 */
export class TokenFollower {
  /** Resolves with the reason when the writer has turned the replica out; never otherwise. */
  readonly over: Promise<CalyxError>;
  readonly #options: TokenFollowerOptions;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #tellOver: (reason: CalyxError) => void = () => undefined;
  #loop: Promise<void> = Promise.resolve();
  #toldAt: number | undefined;
  /** The writer, while it answers. */
  #client: JsonClient | undefined;
  #writer: URL | undefined;
  #problem: string | undefined;

  constructor(options: TokenFollowerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#toldAt = options.toldAt;
    this.over = new Promise((resolve) => (this.#tellOver = resolve));
  }

  /** Where the tokens are made, as far as that is known. */
  get writer(): string {
    const urls = this.#writer === undefined ? this.#options.access.urls : [this.#writer];
    return urls.map(({ origin }) => origin).join(' or ');
  }

  /** For how long the writer has not said what its tokens are. */
  get ageSeconds(): number {
    return this.#toldAt === undefined ? Infinity : Math.max(0, (Date.now() - this.#toldAt) / 1000);
  }

  /**
   * Asks once, and from then on follows in the background.
   *
   * @throws CalyxError `unauthenticated` or `refused` if the token is not one of role admin for all models; `unavailable` if no store tells
   * its tokens and there is no table of before
   */
  async start(signal: AbortSignal): Promise<void> {
    try {
      await this.#find(signal);
    } catch (error) {
      signal.throwIfAborted();
      if (this.#options.toldAt === undefined || isFinal(error)) throw error;
      this.#lost(error);
    }
    this.#loop = this.#follow();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#loop;
    await this.#client?.close();
  }

  async #follow(): Promise<void> {
    const { signal } = this.#stopped;
    let askedAt = -Infinity;
    for (;;) {
      try {
        const pauseMs = askedAt + LEAST_PERIOD_MS - this.#clock.now();
        await this.#clock.sleep(this.#problem === undefined ? Math.max(0, pauseMs) : RETRY_MS, signal);
        askedAt = this.#clock.now();
        if (this.#client === undefined) await this.#find(signal);
        else this.#take(this.#client.url, await ask(this.#client, this.#options.table.version, signal));
      } catch (error) {
        if (signal.aborted) return;
        if (isFinal(error)) {
          this.#tellOver(turnedOut(this.writer, error));
          return;
        }
        const client = this.#client;
        this.#client = undefined;
        await client?.close();
        this.#lost(error);
      }
    }
  }

  /** Asks at all addresses at once: those of replicas, or where nobody answers, do not hold up the one that counts. */
  async #find(signal: AbortSignal): Promise<void> {
    const { urls, credential } = this.#options.access;
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const asked = urls.map(async (url) => {
      const client = new JsonClient(url, { credential, timeoutMs: FIRST_TIMEOUT_MS });
      try {
        return { url, answer: await ask(client, undefined, either) };
      } finally {
        void client.close();
      }
    });
    const { url, answer } = await Promise.any(asked)
      .catch((error: unknown) => {
        signal.throwIfAborted();
        const failures: unknown[] = error instanceof AggregateError ? error.errors : [error];
        throw failures.find(isFinal) ?? silence(failures);
      })
      // Nobody waits for them: an answer that is not begun ends only when its connection stands, or cannot.
      .finally(() => stop.abort());
    this.#writer = url;
    this.#take(url.origin, answer);
    this.#client = new JsonClient(url, { credential, timeoutMs: POLL_TIMEOUT_MS });
  }

  /** Throws CalyxError `corrupt` for what the cluster has not signed, or what is older than what is known. */
  #take(from: string, answer: Answer): void {
    const { access, table, logger } = this.#options;
    const written =
      'tokens' in answer ? table.replace(verified(answer, access.credential.ca, from)).written : undefined;
    this.#toldAt = Date.now();
    if (this.#problem !== undefined) logger.info(`${this.writer} tells its tokens again`);
    this.#problem = undefined;
    written?.catch((error: unknown) => {
      logger.error(
        { err: error },
        'the tokens count, but could not be kept: after a restart an older table would count until the writer answers',
      );
    });
  }

  #lost(error: unknown): void {
    const problem = isCalyxError(error) ? error.code : 'internal';
    const { logger } = this.#options;
    if (problem !== this.#problem && this.#toldAt !== undefined)
      logger.warn(
        `${this.writer} does not tell its tokens, so those of ${new Date(this.#toldAt).toISOString()} count: ${errorMessage(error)}`,
      );
    this.#problem = problem;
  }
}

async function ask(client: JsonClient, after: number | undefined, signal: AbortSignal): Promise<Answer> {
  const path = `/v1/access/tokens${after === undefined ? '' : `?after=${after}`}`;
  const parsed = answerSchema.safeParse(await client.json(path, { signal, maxBytes: MAX_TABLE_BYTES }));
  if (parsed.success && ('tokens' in parsed.data || parsed.data.version === after)) return parsed.data;
  // Not the parser's message, which may quote hashes.
  throw new CalyxError('unavailable', `${client.url} does not tell its tokens as a Calyx store does`, {
    hint: 'check the address; the store may run another version',
  });
}

/** What the answer says, if the cluster says so; both parts are of one moment. */
function verified({ tokens, denied }: News, ca: string, from: string): ToldTokens {
  const told = readTokens(tokens, ca, from);
  if (readDenied(denied, ca, from).version === told.version) return { ...told, denied };
  throw new CalyxError('corrupt', `what ${from} says of the tokens does not belong together`);
}

/** True if asking again does not help. It is the writer that says so, for nobody else is asked. */
function isFinal(error: unknown): error is CalyxError {
  return isCalyxError(error, 'unauthenticated', 'refused');
}

function turnedOut(writer: string, error: CalyxError): CalyxError {
  return new CalyxError(error.code, `this store is no replica any more: ${error.message}`, {
    hint: `make another token on ${writer} with 'calyx token create --role admin', join with it, and start again`,
    cause: error,
  });
}

function silence(failures: readonly unknown[]): CalyxError {
  const why = failures.map(errorMessage).join('; ');
  return new CalyxError('unavailable', `the store that makes the tokens does not answer: ${why}`, {
    hint: 'check that it runs, and that this machine reaches its address',
    cause: failures[0],
  });
}
