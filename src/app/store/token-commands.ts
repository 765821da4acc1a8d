import { z } from 'zod';
import { openIdentity } from '../../cluster/identity/cluster-identity.js';
import type { TokenRecord } from '../../cluster/tokens/token-record.js';
import type { TokenTable } from '../../cluster/tokens/token-table.js';
import type { StoreLayout } from '../../catalog/store-layout.js';
import { roleSchema } from '../../cluster/tokens/token-record.js';
import type { Operation } from './management-door.js';
import { commandOwner } from './owner-commands.js';
import { openTokenTable } from './store-gate.js';

/** What a new token is to allow. */
export interface WantedToken {
  readonly name: string;
  readonly role: TokenRecord['role'];
  readonly models: string;
  /** Without it, it is good until it is revoked. */
  readonly expiresInMs?: number | undefined;
}

/** A token that was made. */
export interface MadeToken {
  /** A secret; it is told this once. */
  readonly token: string;
  readonly id: string;
  /** Where the store listens, `HOST:PORT`; undefined if none runs. */
  readonly address?: string | undefined;
  /** False if the store that runs speaks plain HTTP, which nobody can join. */
  readonly secured: boolean;
}

const wantedSchema = z.strictObject({
  name: z.string(),
  role: roleSchema,
  models: z.string(),
  expiresInMs: z.number().positive().optional(),
});
const idSchema = z.strictObject({ id: z.string() });
const madeSchema = z.object({
  token: z.string(),
  id: z.string(),
  address: z.string().optional(),
  secured: z.boolean(),
});
const recordSchema: z.ZodType<TokenRecord> = z.object({
  id: z.string(),
  name: z.string(),
  role: roleSchema,
  models: z.string(),
  createdAt: z.number(),
  expiresAt: z.number().optional(),
  revokedAt: z.number().optional(),
  under: z.string().optional(),
});

/** Where a store is reached, and whether it asks who comes. */
export interface Reachable {
  readonly address: string;
  readonly secured: boolean;
}

/**
 * What a store that runs does with its tokens for commands.
 *
 * @param settled waits until the next command of this machine finds a token that counts
 */
export function tokenOperations(
  table: TokenTable,
  reachable: () => Reachable | undefined,
  settled: () => Promise<void> | undefined = () => undefined,
): Readonly<Record<string, Operation>> {
  return {
    'token create': async (input): Promise<MadeToken> => {
      const { token, record } = await table.create(wantedSchema.parse(input));
      return { token, id: record.id, secured: true, ...reachable() };
    },
    'token list': () => Promise.resolve(table.list()),
    'token revoke': async (input) => {
      const revoked = await table.revoke(idSchema.parse(input).id);
      await settled();
      return revoked;
    },
  };
}

/** Manages the tokens of a data directory, whether a store runs on it or not. */
export class TokenCommands {
  readonly #layout: StoreLayout;
  readonly #signal: AbortSignal;

  constructor(layout: StoreLayout, signal: AbortSignal) {
    this.#layout = layout;
    this.#signal = signal;
  }

  /** Throws CalyxError `usage` for a name or a pattern that cannot be. */
  create(wanted: WantedToken): Promise<MadeToken> {
    return this.#ask('token create', wanted, madeSchema);
  }

  list(): Promise<TokenRecord[]> {
    return this.#ask('token list', {}, z.array(recordSchema));
  }

  /** Throws CalyxError `not-found`. */
  revoke(id: string): Promise<TokenRecord> {
    return this.#ask('token revoke', { id }, recordSchema);
  }

  #ask<T>(operation: string, input: unknown, answer: z.ZodType<T>): Promise<T> {
    const here = async (): Promise<T> => {
      const table = await openTokenTable(this.#layout, await openIdentity(this.#layout.cluster));
      try {
        const done = await tokenOperations(table, () => undefined)[operation]?.(input, this.#signal);
        return answer.parse(done);
      } finally {
        await table.close();
      }
    };
    return commandOwner(this.#layout, { operation, input, answer, here }, this.#signal);
  }
}
