import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { testDirectory } from '../../../../test/support/directories.js';
import { expectError } from '../../../../test/support/expect-error.js';
import {
  credentialOf,
  serveAsReplica,
  serveSecurely,
  testCluster,
} from '../../../../test/support/secure-server.js';
import type { ClusterIdentity } from '../../../cluster/identity/cluster-identity.js';
import { CalyxError } from '../../../core/errors.js';
import { TokenTable } from '../../../cluster/tokens/token-table.js';
import { TokenFollower } from './follow-tokens.js';
import { writerAccess } from './writer-access.js';

const never = new AbortController().signal;
const HASH = '5'.repeat(64);

const token = (id: string, more: object = {}) => ({
  id: id.repeat(12),
  name: 'n',
  role: 'read',
  models: '*',
  createdAt: 1,
  sha256: HASH,
  ...more,
});

/** A store that says what the test wants. */
class Scripted {
  tokens: unknown = [];
  denied: readonly string[] = [];
  version = 1;
  /** Of the denied ones. @default the same */
  deniedVersion: number | undefined;
  /** Who signs what it says. */
  signer: ClusterIdentity;
  /** Answers so in place of the table. */
  status: number | undefined;
  code = 'unavailable';
  asked = 0;
  readonly #waiting = new Set<() => void>();

  constructor(signer: ClusterIdentity) {
    this.signer = signer;
  }

  /** Answers, or waits for a change as a store does. */
  readonly answer = (request: IncomingMessage, response: ServerResponse): void => {
    this.asked += 1;
    const after = new URL(request.url ?? '', 'http://x').searchParams.get('after');
    const tell = (): void => {
      const { status, code } = this;
      const body = status === undefined ? this.#news() : { error: { code, message: 'no' } };
      response.writeHead(status ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    };
    if (this.status === undefined && after === String(this.version)) this.#waiting.add(tell);
    else tell();
  };

  #news(): object {
    const { version, tokens, denied, deniedVersion = version, signer } = this;
    return {
      version,
      tokens: signer.sign('tokens', JSON.stringify({ version, tokens })),
      denied: signer.sign('denied', JSON.stringify({ version: deniedVersion, denied })),
    };
  }

  change(change: () => void): void {
    this.version += 1;
    change();
    for (const tell of this.#waiting) tell();
    this.#waiting.clear();
  }
}

/** An address where somebody takes connections and never says anything. */
async function mute(): Promise<URL> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

async function follower(cluster: ClusterIdentity, urls: readonly URL[], toldAt?: number) {
  const { fingerprint } = cluster;
  const elsewhere = () => new CalyxError('unavailable', 'ask the writer');
  const table = await TokenTable.open(join(testDirectory(), 'tokens.json'), { fingerprint, elsewhere });
  const logged: string[] = [];
  const logger = pino({}, { write: (line) => logged.push(line) });
  const access = writerAccess({ urls, credential: credentialOf(cluster) });
  const one = new TokenFollower({ access, table, logger, toldAt });
  onTestFinished(async () => {
    await one.stop();
    await table.close();
  });
  return { follower: one, table, logged };
}

describe('a follower of tokens', () => {
  it('is not held up by addresses where no writer answers', async () => {
    const cluster = await testCluster();
    const [writer, replica] = [new Scripted(cluster), new Scripted(cluster)];
    writer.tokens = [token('a'), token('b')];
    replica.tokens = [token('c')];
    replica.version = 1000;
    const url = await serveSecurely(cluster, writer.answer);
    const urls = [await mute(), await serveAsReplica(cluster, replica.answer), url];
    const { follower: one, table } = await follower(cluster, urls);
    const from = performance.now();
    await one.start(never);
    expect(performance.now() - from).toBeLessThan(2_000);
    expect(table.list().map(({ id }) => id[0])).toEqual(['a', 'b']);
    expect(one.writer).toBe(url.origin);
    expect(one.ageSeconds).toBeLessThan(2);
    const revoked = new Promise((resolve) => table.onRevoked(resolve));
    const at = performance.now();
    writer.change(() => (writer.tokens = [token('a', { revokedAt: 5 }), token('b')]));
    expect(await revoked).toBe('a'.repeat(12));
    expect(performance.now() - at).toBeLessThan(2_000);
    // Nobody else is told the token.
    expect(replica.asked).toBe(0);
  });

  it('keeps the last table while the writer is silent or says something else, and tells no hash', async () => {
    const cluster = await testCluster();
    const writer = new Scripted(cluster);
    writer.tokens = [token('a')];
    const { follower: one, table, logged } = await follower(cluster, [await serveSecurely(cluster, writer.answer)]);
    await one.start(never);
    writer.change(() => (writer.tokens = [token('a'), token('b', { role: 'root' })]));
    await vi.waitFor(() => expect(logged.join()).toContain('does not tell its tokens'), 5_000);
    expect(logged.join()).toMatch(/so those of \d{4}-\d\d-\d\dT[0-9:.]+Z count/);
    expect(logged.join()).not.toContain(HASH);
    expect(table.list()).toHaveLength(1);
    writer.change(() => (writer.tokens = [token('a'), token('b')]));
    await vi.waitFor(() => expect(table.list()).toHaveLength(2), 5_000);
    expect(logged.join()).toContain('tells its tokens again');
    // Once for each change, not for each attempt.
    expect(logged).toHaveLength(2);
  }); // prettier-ignore

  it('ends if the writer does not know it any more, and asks no other store meanwhile', async () => {
    const cluster = await testCluster();
    const [writer, replica] = [new Scripted(cluster), new Scripted(cluster)];
    writer.tokens = [token('a')];
    Object.assign(replica, { status: 401, code: 'unauthenticated' });
    const urls = [await serveSecurely(cluster, writer.answer), await serveAsReplica(cluster, replica.answer)];
    const { follower: one, table, logged } = await follower(cluster, urls);
    let over = false;
    void one.over.then(() => (over = true));
    await one.start(never);
    const asked = writer.asked;
    writer.change(() => (writer.status = 503));
    await vi.waitFor(() => expect(writer.asked).toBeGreaterThan(asked + 2), 5_000);
    expect([over, replica.asked]).toEqual([false, 0]);
    expect(table.list()).toHaveLength(1);
    expect(logged.join()).toContain('does not tell its tokens');
    Object.assign(writer, { status: 401, code: 'unauthenticated' });
    await expectError(
      async () => {
        throw await one.over;
      },
      'unauthenticated',
      'this store is no replica any more',
      urls[0]?.origin ?? '',
    );
  });

  it.each<[string, string, (writer: Scripted, other: ClusterIdentity) => void]>([
    ['that somebody else has signed', 'was not signed by the cluster', (writer, other) => (writer.signer = other)],
    ['that is older', 'older (4)', (writer) => (writer.version = 4)],
    ['that is another one under the same version', 'same version', (writer) => (writer.version = 5)],
    ['with what is denied at another time', 'belong together', (writer) => (writer.deniedVersion = 1)],
  ])('does not take a table %s, and follows again when it is right', async (_what, reason, spoil) => {
    const [cluster, other] = await Promise.all([testCluster(), testCluster()]);
    const writer = new Scripted(cluster);
    Object.assign(writer, { version: 5, tokens: [token('a')] });
    const { follower: one, table, logged } = await follower(cluster, [await serveSecurely(cluster, writer.answer)]);
    await one.start(never);
    await vi.waitFor(() => expect(writer.asked).toBe(2));
    writer.change(() => {
      writer.tokens = [token('b', { role: 'admin' })];
      spoil(writer, other);
    });
    await vi.waitFor(() => expect(logged.join()).toContain(reason), 5_000);
    expect(table.list().map(({ id }) => id[0])).toEqual(['a']);
    expect(table.version).toBe(5);
    writer.change(() => Object.assign(writer, { version: 9, signer: cluster, deniedVersion: undefined }));
    await vi.waitFor(() => expect(table.list().map(({ id }) => id[0])).toEqual(['b']), 5_000);
    expect(logged.join()).toContain('tells its tokens again');
  }); // prettier-ignore

  it('says so if no address is that of the writer', async () => {
    const cluster = await testCluster();
    const replica = new Scripted(cluster);
    const { follower: one } = await follower(cluster, [await serveAsReplica(cluster, replica.answer)]);
    await expectError(() => one.start(never), 'unavailable', 'but not its writer', 'nothing was sent');
    expect(replica.asked).toBe(0);
  });

  it('begins with a table of before if nobody answers, but not if it is refused', async () => {
    const cluster = await testCluster();
    const writer = new Scripted(cluster);
    Object.assign(writer, { status: 503 });
    const url = await serveSecurely(cluster, writer.answer);
    const fresh = await follower(cluster, [url]);
    await expectError(() => fresh.follower.start(never), 'unavailable', 'check that it runs');
    const before = await follower(cluster, [url], Date.now() - 60_000);
    await before.follower.start(never);
    expect(before.follower.ageSeconds).toBeGreaterThanOrEqual(60);
    Object.assign(writer, { status: 403, code: 'refused' });
    const other = await follower(cluster, [url], Date.now());
    await expectError(() => other.follower.start(never), 'refused');
  });
});
