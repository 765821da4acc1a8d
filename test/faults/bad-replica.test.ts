import { Agent } from 'node:https';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { openIdentity } from '../../src/cluster/identity/cluster-identity.js';
import { STORE_NAME } from '../../src/core/access.js';
import { formatJoinString, parseToken } from '../../src/core/cluster-token.js';
import { BadReplica } from '../support/bad-replica.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { ask, RealCluster, secretOf, type Holder } from '../support/real-cluster.js';
import { startNodeProcess, type NodeProcess } from '../support/running-node.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { copyOfStore } from '../support/store-copy.js';

/** What issue 4 grants a token that is revoked. */
const REVOKED_WITHIN_MS = 2_000;
const PATIENCE = { timeout: 20_000, interval: 100 };
/** Far later than any version that a writer tells for centuries: milliseconds since 1970. */
const LATER_THAN_ALL = 9e12;
const DENIED = '/v1/access/denied';

const scratch = suiteDirectory();

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', join(scratch, 'model'));
});

/** A writer in a process of its own, and a replica of it that has turned bad. */
async function start(): Promise<{ cluster: RealCluster; bad: BadReplica }> {
  const data = await copyOfStore(join(scratch, 'model'));
  const cluster = await RealCluster.start(data);
  onTestFinished(() => cluster.store.stop().then(() => undefined));
  return { cluster, bad: await BadReplica.start(cluster, await cluster.token('admin')) };
}

/** The environment of who has joined with a token at some addresses. */
function joined({ text }: Holder, ...addresses: string[]): Record<string, string> {
  const token = parseToken(text);
  if (token === undefined) throw new Error('this is no token');
  return { CALYX_STORE: formatJoinString({ addresses, token }), XDG_CONFIG_HOME: testDirectory() };
}

/** Signs with the key of another cluster, which is all that a replica can do. */
async function forger(): Promise<(kind: 'tokens' | 'denied', statement: object) => object> {
  const other = await openIdentity(join(testDirectory(), 'cluster'));
  return (kind, statement) => other.sign(kind, JSON.stringify(statement));
}

describe('a replica whose join string has the address of one that turned bad', () => {
  it('shows that one no token, and takes none of its tokens, also while the writer is away', async () => {
    const { cluster, bad } = await start();
    const [admin, reader] = [await cluster.token('admin'), await cluster.token('read')];
    const forge = await forger();
    // A token of the attacker's own choice; the hash is that of its secret, as sha256sum makes it.
    const intruder = `calyx1.0123456789ab.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8.${parseToken(admin.text)?.fingerprint}`;
    const sha256 = 'ea866a757e4c38babfa8127cbe9a409d3e1f93a00ff1488ff735fcf917afffd0';
    const own = { id: '0123456789ab', name: 'me', role: 'admin', models: '*', createdAt: 1, sha256 };
    const version = LATER_THAN_ALL;
    bad.says.set('/v1/access/tokens', {
      version,
      tokens: forge('tokens', { version, tokens: [own] }),
      denied: forge('denied', { version, denied: [reader.id, admin.id] }),
    });
    const copy = await copyOfStore(cluster.data);
    const environment = joined(admin, bad.address, `127.0.0.1:${cluster.store.port}`);
    const startVictim = async (): Promise<RunningStore> => {
      const store = await startStore(copy, { args: ['--tls', '--replica'], env: environment });
      onTestFinished(() => store.stop().then(() => undefined));
      return store;
    };
    const status = async ({ url }: RunningStore, token: string): Promise<number> =>
      (await ask(url, { ca: cluster.ca, servername: STORE_NAME }, { path: '/v1/models', token })).status;
    /** The victim goes by the writer's tokens, and has told the bad one nothing although it was there. */
    const unmoved = async (victim: RunningStore, readers: readonly Holder[]): Promise<void> => {
      for (const { text } of readers) expect(await status(victim, text)).toBe(200);
      expect(await status(victim, intruder)).toBe(401);
      expect(bad.met).toBeGreaterThan(0);
      expect(bad.heard).not.toContain(secretOf(admin.text));
      expect(bad.heard).toBe('');
    };

    const victim = await startVictim();
    await unmoved(victim, [reader]);
    const second = await cluster.token('read', { name: 'second' });
    await vi.waitFor(async () => expect(await status(victim, second.text)).toBe(200), PATIENCE);

    await cluster.store.stop('SIGKILL');
    const before = bad.met;
    // It looks for the writer everywhere, again and again.
    await vi.waitFor(() => expect(bad.met).toBeGreaterThan(before + 2), PATIENCE);
    await unmoved(victim, [reader, second]);
    expect((await victim.stop()).stderr).toContain('does not tell its tokens');

    const again = await startVictim();
    await unmoved(again, [reader, second]);
    expect(await again.stop()).toMatchObject({ code: 0 });
  }, 120_000);
});

describe('a node that asks a replica that turned bad, too', () => {
  /** A node, what it answers to the holders of certificates, and a connection of one of them that is not to be cut. */
  async function startNode(cluster: RealCluster, bad: BadReplica): Promise<NodeProcess> {
    const holder = await cluster.token('node');
    const addresses = [`127.0.0.1:${cluster.store.port}`, bad.address];
    const args = ['--model', 'acme/tiny', '--blocks', '0:1', '--data', join(testDirectory(), 'node')];
    const node = await startNodeProcess(args, joined(holder, ...addresses));
    onTestFinished(() => node.stop().then(() => undefined));
    return node;
  }

  /** Waits until the bad one has been asked for its list some more. */
  async function askedAgain(bad: BadReplica): Promise<void> {
    const before = bad.asked.get(DENIED) ?? 0;
    await vi.waitFor(() => expect(bad.asked.get(DENIED)).toBeGreaterThan(before + 2), PATIENCE);
  }

  it('shuts nobody out for it, and lets nobody in again', async () => {
    const { cluster, bad } = await start();
    const [reader, gone] = [await cluster.token('read'), await cluster.token('read', { name: 'gone' })];
    const pairs = { reader: await cluster.certificate(reader), gone: await cluster.certificate(gone) };
    const forge = await forger();
    const everybody = { version: LATER_THAN_ALL, denied: [reader.id, gone.id, cluster.local.id] };
    bad.says.set(DENIED, forge('denied', everybody));
    const node = await startNode(cluster, bad);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const status = async (who: keyof typeof pairs, more: object = {}): Promise<number> =>
      (await cluster.askNode(node.url, { path: '/v1/stage', pair: pairs[who], ...more })).status;
    expect(await status('reader', { agent })).toBe(200);
    const [kept] = Object.values(agent.freeSockets).flatMap((sockets) => sockets ?? []);
    let cut = kept === undefined;
    kept?.once('close', () => (cut = true));

    // Signed by somebody else, not signed at all, and signed by the cluster as something else: each shuts out nobody.
    const ofTheCluster = JSON.parse((await cluster.ask({ path: DENIED, token: reader.text })).body) as {
      statement: string;
      signature: string;
    };
    for (const list of [
      forge('denied', everybody),
      everybody,
      { ...ofTheCluster, statement: JSON.stringify(everybody) },
    ]) {
      bad.says.set(DENIED, list);
      await askedAgain(bad);
      expect([await status('reader'), await status('gone')]).toEqual([200, 200]);
    }

    // The list of before, which the cluster has signed, lets in nobody who was revoked since, nor keeps that from being heard.
    bad.says.set(DENIED, ofTheCluster);
    await askedAgain(bad);
    await cluster.revoke(gone);
    await vi.waitFor(async () => expect(await status('gone')).toBe(401), {
      timeout: REVOKED_WITHIN_MS,
      interval: 20,
    });
    await askedAgain(bad);
    expect([await status('reader'), await status('gone')]).toEqual([200, 401]);
    expect(cut).toBe(false);
    const { stderr } = await node.stop();
    expect(stderr).toContain('was not signed by the cluster');
    expect(stderr).toContain('its list is older');
  }, 120_000);
});
