import type { Logger } from 'pino';
import type { TokenTable } from '../../cluster/tokens/token-table.js';
import { errorMessage } from '../../core/errors.js';

/** Keeps the file with the token of this machine good: who may read it may manage, also after the token in it was revoked. */
export class LocalTokenKeeper {
  readonly #table: TokenTable;
  readonly #path: string;
  readonly #logger: Logger;
  /** Settles when the file is as the last change wants it. */
  #kept: Promise<void> = Promise.resolve();

  /** @param path of the file */
  constructor(table: TokenTable, path: string, logger: Logger) {
    this.#table = table;
    this.#path = path;
    this.#logger = logger;
    table.onRevoked(() => this.#renew());
  }

  /** Waits until the file is good again. It never rejects: the log tells if it could not be written. */
  kept(): Promise<void> {
    return this.#kept;
  }

  /** One after the other: each looks at what the one before it has written. */
  #renew(): void {
    this.#kept = this.#kept.then(async () => {
      try {
        await this.#table.ensureLocal(this.#path);
      } catch (error) {
        this.#logger.error(
          `the token of this machine ended, and no new one could be written, so commands on this machine are refused until the store starts again: ${errorMessage(error)}`,
        );
      }
    });
  }
}
