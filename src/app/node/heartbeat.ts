import type { Logger } from 'pino';
import { z } from 'zod';
import type { StoreAccess } from '../../core/access.js';
import { systemClock, type Clock } from '../../core/clock.js';
import { errorMessage, isCalyxError } from '../../core/errors.js';
import type { NodeRecord } from '../../cluster/node-registry.js';
import { JsonClient } from '../../protocols/http/json-client.js';

const answerSchema = z.object({ lifetimeMs: z.number().min(100).max(3_600_000) });

/** While a store does not answer, it is asked again after so long. */
const RETRY_MS = 2_000;

/** A store that takes no notice because of who we are is not asked that often. */
const REFUSED_RETRY_MS = 30_000;

/** A node that leaves waits so long for the stores to take notice. */
const GOODBYE_MS = 2_000;

/** Tells every store, again and again, what a node serves; so a store that was restarted knows it soon. */
export class Heartbeat {
  readonly #clients: readonly JsonClient[];
  readonly #record: NodeRecord;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #stopped = new AbortController();
  #loops: Promise<void>[] = [];

  constructor(
    { urls, credential }: StoreAccess,
    record: NodeRecord,
    logger: Logger,
    clock: Clock = systemClock,
  ) {
    this.#clients = urls.map((url) => new JsonClient(url, { credential }));
    this.#record = record;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** Resolves when each store was asked once, whether it answered or not. */
  async start(): Promise<void> {
    const pauses = await Promise.all(this.#clients.map((client) => this.#tell(client)));
    this.#loops = this.#clients.map((client, index) => this.#keepTelling(client, pauses[index] ?? RETRY_MS));
  }

  /** Says goodbye to the stores. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await Promise.all(this.#loops);
    const signal = AbortSignal.timeout(GOODBYE_MS);
    const goodbye = this.#clients.map((client) =>
      client.json(`/v1/nodes/${this.#record.id}`, { method: 'DELETE', signal }),
    );
    // A store that does not hear it forgets the node by itself.
    await Promise.allSettled(goodbye);
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #keepTelling(client: JsonClient, firstPauseMs: number): Promise<void> {
    let pauseMs = firstPauseMs;
    for (;;) {
      try {
        await this.#clock.sleep(pauseMs, this.#stopped.signal);
      } catch {
        return;
      }
      pauseMs = await this.#tell(client);
    }
  }

  /** Returns when the store wants to be told again. */
  async #tell(client: JsonClient): Promise<number> {
    try {
      const { signal } = this.#stopped;
      const answer = await client.json(`/v1/nodes/${this.#record.id}`, {
        method: 'PUT',
        body: this.#record,
        signal,
      });
      // Three times within its lifetime, so that one lost message does not matter.
      return answerSchema.parse(answer).lifetimeMs / 3;
    } catch (error) {
      if (!this.#stopped.signal.aborted)
        this.#logger.warn(
          { store: client.url },
          `could not announce this node there: ${errorMessage(error)}`,
        );
      return isCalyxError(error, 'unauthenticated', 'refused') ? REFUSED_RETRY_MS : RETRY_MS;
    }
  }
}
