import type { Logger } from 'pino';
import { signedStatementSchema } from '../../cluster/tokens/token-record.js';
import { readDenied, type DeniedStatement } from '../../cluster/tokens/token-statements.js';
import { systemClock, wallClock, type Clock } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { JsonClient } from '../../protocols/http/json-client.js';
import type { SecuredAccess } from './secured-access.js';

/** Options of {@link DenyListFollower}. */
export interface DenyListFollowerOptions {
  readonly access: SecuredAccess;
  /** Is given the ids on the list of the cluster, each time when there is a newer one. */
  readonly deny: (tokenIds: readonly string[]) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** A store answers within 20 s, also when nothing has changed. */
const TIMEOUT_MS = 30_000;
/** Room for all the tokens that a store can have. */
const MAX_LIST_BYTES = 1024 * 1024;
/** Whoever waits for all stores waits no longer: others have the same list. */
const FIRST_MS = 5_000;
/** A store that answers at once each time is not asked without a pause. */
const PAUSE_MS = 100;
const RETRY_MS = 1_000;
/** A store that does not know us any more is not asked that often. */
const REFUSED_RETRY_MS = 30_000;

/**
 * Asks every store, again and again, which tokens are good for nothing any more; a store answers at the moment when that changes. Only a
 * list that the cluster has signed counts, and of these the newest, whoever hands it on: a store that turned bad can neither shut anybody
 * out nor let anybody in again. While none answers, the last list counts.
 */
export class DenyListFollower {
  readonly #options: DenyListFollowerOptions;
  readonly #clock: Clock;
  readonly #clients: readonly JsonClient[];
  readonly #stopped = new AbortController();
  readonly #loops: readonly Promise<void>[];
  /** The newest list. */
  #newest: DeniedStatement | undefined;
  /** Resolves when each store has told its list, or has failed to once, or has had its time. */
  readonly started: Promise<void>;

  constructor(options: DenyListFollowerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    const { urls, credential } = options.access;
    this.#clients = urls.map((url) => new JsonClient(url, { credential, timeoutMs: TIMEOUT_MS }));
    const followed = this.#clients.map((client) => {
      let asked: () => void = () => undefined;
      const first = new Promise<void>((resolve) => (asked = resolve));
      return { first, loop: this.#follow(client, asked) };
    });
    this.#loops = followed.map(({ loop }) => loop);
    const inTime = wallClock.sleep(FIRST_MS, this.#stopped.signal).catch(() => undefined);
    const all = Promise.all(followed.map(({ first }) => first));
    this.started = Promise.race([all, inTime]).then(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #follow(client: JsonClient, asked: () => void): Promise<void> {
    const { signal } = this.#stopped;
    let version = 0;
    let problem: string | undefined;
    for (;;) {
      let pauseMs = PAUSE_MS;
      try {
        version = await this.#hear(client, version);
        if (problem !== undefined)
          this.#options.logger.info({ store: client.url }, 'the store tells again which tokens are revoked');
        problem = undefined;
      } catch (error) {
        pauseMs = isCalyxError(error, 'unauthenticated', 'refused') ? REFUSED_RETRY_MS : RETRY_MS;
        const now = isCalyxError(error) ? error.code : 'internal';
        if (now !== problem && !signal.aborted) this.#tell(client, error);
        problem = now;
      }
      asked();
      try {
        await this.#clock.sleep(pauseMs, signal);
      } catch {
        return;
      }
    }
  }

  /** Asks a store for its list, waits for one with another version, and returns that. */
  async #hear(client: JsonClient, after: number): Promise<number> {
    const { signal } = this.#stopped;
    const path = `/v1/access/denied?after=${after}`;
    const signed = signedStatementSchema.safeParse(
      await client.json(path, { signal, maxBytes: MAX_LIST_BYTES }),
    );
    if (!signed.success)
      throw new CalyxError('corrupt', `what ${client.url} says of the tokens is not signed`, {
        hint: 'the store may run an older version: start it again with this one',
      });
    const said = readDenied(signed.data, this.#options.access.credential.ca, client.url);
    if (this.#newest === undefined || said.version > this.#newest.version) {
      this.#newest = said;
      this.#options.deny(said.denied);
    }
    // A replica may be a moment behind; then it has news before it answers again.
    if (said.version === after && after < this.#newest.version)
      throw new CalyxError(
        'corrupt',
        `its list is older (${after}) than one that another store has told (${this.#newest.version})`,
        {
          hint: 'look whether it is a replica that has lost its writer',
        },
      );
    return said.version;
  }

  #tell({ url }: JsonClient, error: unknown): void {
    const { logger } = this.#options;
    if (isCalyxError(error, 'unauthenticated'))
      logger.error(
        { store: url },
        `the store does not take the token of this node any more, so the node leaves when its certificate is over: ${errorMessage(error)}`,
      );
    else
      logger.warn({ store: url }, `the store does not tell which tokens are revoked: ${errorMessage(error)}`);
  }
}
