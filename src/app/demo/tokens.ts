import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { StoreLayout } from '../../catalog/store-layout.js';
import type { Role, StoreAccess } from '../../core/access.js';
import { formatJoinString, parseToken } from '../../core/cluster-token.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { JsonClient } from '../../protocols/http/json-client.js';
import { storeAccess } from '../join/store-access.js';
import { localTokenPath } from '../store/owner-commands.js';

const createdSchema = z.object({ token: z.string() });

/** What each machine of the demo has to show. */
export class DemoTokens {
  /** For us: it may only read. */
  readonly reader: StoreAccess;
  readonly #joinStrings: ReadonlyMap<string, string>;

  private constructor(reader: StoreAccess, joinStrings: ReadonlyMap<string, string>) {
    this.reader = reader;
    this.#joinStrings = joinStrings;
  }

  /** Has the store make the tokens, with the one that it leaves in its data directory for whoever owns that. */
  static async make(
    dataDirectory: string,
    url: URL,
    nodes: readonly string[],
    signal: AbortSignal,
  ): Promise<DemoTokens> {
    const file = localTokenPath(new StoreLayout(dataDirectory));
    const local = await readFile(file, 'utf8').catch((error: unknown) => {
      throw fileError(error, 'cannot read', file);
    });
    const { urls, credential } = await joined(url, local.trim());
    const client = new JsonClient(url, { credential });
    const create = async (name: string, role: Role): Promise<string> => {
      const body = { name, role, models: '*' };
      return createdSchema.parse(await client.json('/v1/tokens', { method: 'POST', body, signal })).token;
    };
    try {
      const [token, ...nodeTokens] = await Promise.all([
        create('demo', 'read'),
        ...nodes.map((name) => create(name, 'node')),
      ]);
      const reader = { urls, credential: credential && { ca: credential.ca, token } };
      const joinStrings = nodes.map(
        (name, index) => [name, joinString(url, nodeTokens[index] ?? '')] as const,
      );
      return new DemoTokens(reader, new Map(joinStrings));
    } finally {
      await client.close();
    }
  }

  /** For a node: a secret. */
  joinString(node: string): string {
    return this.#joinStrings.get(node) ?? '';
  }
}

function joined(url: URL, token: string): Promise<StoreAccess> {
  return storeAccess(undefined, { CALYX_STORE: joinString(url, token) });
}

function joinString({ host }: URL, text: string): string {
  const token = parseToken(text);
  if (token !== undefined) return formatJoinString({ addresses: [host], token });
  throw new CalyxError('internal', 'the store has made a token that cannot be read');
}
