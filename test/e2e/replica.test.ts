import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parseJoinString, formatToken } from '../../src/core/cluster-token.js';
import { verifyStatement, type SignedStatement } from '../../src/core/signed-statement.js';
import { calyxJson, startCalyx, type Ended } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY, writeRandomModel } from '../support/models.js';
import { startProxy } from '../support/proxy.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { copyOfStore } from '../support/store-copy.js';

/** What issue 4 grants a token that is revoked. */
const REVOKED_WITHIN_MS = 2_000;
/** For what has no such limit, on a machine that is busy. */
const PATIENCE_MS = 20_000;
const MIB = 1024 * 1024;

const scratch = suiteDirectory();
const data = join(scratch, 'writer');
let writer: RunningStore;
let ca: string;

beforeAll(async () => {
  const big = join(scratch, 'big');
  await writeRandomModel(big, { blocks: 4, matrixBytes: 8 * MIB, shards: 2, seed: 7 });
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  await calyxJson('add', big, '--name', 'org/big', '--data', data);
  writer = await startStore(data, { args: ['--tls'] });
  ca = await clusterCertificate(join(data, '.calyx/cluster/identity.pem'));
  return () => writer.stop().then(() => undefined);
});

async function clusterCertificate(identity: string): Promise<string> {
  const [pem] = /-----BEGIN CERTIFICATE-----[^]+-----END CERTIFICATE-----\n/.exec(await readFile(identity, 'utf8')) ?? [];
  if (pem === undefined) throw new Error('the identity has no certificate');
  return pem;
} // prettier-ignore

interface Token {
  readonly id: string;
  /** The join string. */
  readonly line: string;
  /** As it is sent. */
  readonly text: string;
}

async function newToken(role: string, options: { readonly store?: string; readonly at?: readonly string[]; readonly more?: readonly string[] } = {}): Promise<Token> {
  const addresses = (options.at ?? []).flatMap((address) => ['--address', address]);
  const args = ['--role', role, '--data', options.store ?? data, ...addresses, ...(options.more ?? [])];
  const made = (await calyxJson('token', 'create', ...args)) as { id: string; join: string };
  return { id: made.id, line: made.join, text: formatToken(parseJoinString(made.join).token) };
} // prettier-ignore

async function revoke({ id }: Token, store = data): Promise<void> {
  await calyxJson('token', 'revoke', id, '--data', store);
}

/** Starts a replica in a process of its own, which ends with the test. */
async function startReplica(copy: string, line: string, more: { readonly listen?: string } = {}): Promise<RunningStore> {
  const replica = await startStore(copy, { ...more, args: ['--tls', '--replica'], env: { CALYX_STORE: line } });
  onTestFinished(() => replica.stop().then(() => undefined));
  return replica;
} // prettier-ignore

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Asks as any HTTPS client does that trusts the cluster and looks at the address: not our own client. */
function ask(url: string, token: string, options: { readonly method?: string; readonly body?: object; readonly ca?: string } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    const headers = { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    request(url, { ca, agent: false, ...options, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body: text })).once('error', reject);
    }).once('error', reject).end(body);
  });
} // prettier-ignore

/** Asks until the answer has this status; resolves with how long that took, in milliseconds. */
async function statusWithin(
  url: string,
  token: string,
  status: number,
  withinMs: number,
  authority = ca,
): Promise<number> {
  const from = performance.now();
  for (;;) {
    // Also a question that is under way is cut.
    const answer = await ask(url, token, { ca: authority }).catch((error: unknown) => ({
      status: 0,
      body: String(error),
    }));
    const tookMs = performance.now() - from;
    if (answer.status === status) return tookMs;
    if (tookMs > withinMs)
      throw new Error(`after ${tookMs} ms ${url} still answers ${answer.status}: ${answer.body}`);
  }
}

/** Begins to read a large blob, and does not read on. */
async function slowRead(url: string, token: string): Promise<IncomingMessage> {
  const blobs = join(data, 'models--org--big/blobs');
  const sizes = (await readdir(blobs)).map(async (name) => ({ name, size: (await stat(join(blobs, name))).size }));
  const [largest] = (await Promise.all(sizes)).sort((a, b) => b.size - a.size);
  if (largest === undefined || largest.size < 32 * MIB) throw new Error('no blob is larger than what sockets hold');
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${token}` };
    request(`${url}/v1/blobs/${largest.name}`, { ca, agent, headers }, (answer) => {
      answer.once('data', () => {
        answer.pause();
        resolve(answer);
      });
    }).once('error', reject).end();
  });
} // prettier-ignore

/** Reads on until a connection that was cut gives no more; rejects if all of it comes. */
function cut(answer: IncomingMessage): Promise<void> {
  return new Promise((resolve, reject) => {
    answer.once('error', () => resolve());
    answer.once('end', () => reject(new Error('all of it came')));
    answer.resume();
  });
}

function refuses(copy: string, args: readonly string[], line?: string): Promise<Ended> {
  const all = ['store', '--data', copy, '--listen', '127.0.0.1:0', '--no-nfs', ...args];
  return startCalyx(all, { XDG_CONFIG_HOME: testDirectory(), ...(line === undefined ? {} : { CALYX_STORE: line }) }).ended;
} // prettier-ignore

describe('a replica', () => {
  it('lets in whom the writer lets in, and nobody whom that has turned out', async () => {
    const admin = await newToken('admin');
    const replica = await startReplica(await copyOfStore(data), admin.line);
    // The certificate is the cluster's own, for the address; `ask` would not take another one.
    const reader = await newToken('read');
    const inMs = await statusWithin(`${replica.url}/v1/models`, reader.text, 200, REVOKED_WITHIN_MS);
    expect(inMs).toBeLessThan(REVOKED_WITHIN_MS);
    expect((await ask(`${replica.url}/v1/models`, reader.text)).body).toContain('org/tiny');

    const open = await slowRead(replica.url, reader.text);
    const denied = `${replica.url}/v1/access/denied`;
    const { statement } = JSON.parse((await ask(denied, reader.text)).body) as { statement: string };
    const { version } = JSON.parse(statement) as { version: number };
    expect(version).toBeGreaterThan(0);
    const idle = ask(`${denied}?after=${version}`, reader.text);
    const idleEnds = idle.then(() => performance.now(), () => performance.now());
    await revoke(reader);
    const revokedAt = performance.now();
    const outMs = await statusWithin(`${replica.url}/v1/models`, reader.text, 401, REVOKED_WITHIN_MS);
    expect(outMs).toBeLessThan(REVOKED_WITHIN_MS);
    await cut(open);
    expect((await idleEnds) - revokedAt).toBeLessThan(REVOKED_WITHIN_MS);
    expect((await ask(`${replica.url}/v1/models`, reader.text)).body).toContain('was revoked');

    // Nodes are told so in the writer's own words, which the cluster has signed.
    const handedOn = JSON.parse((await ask(denied, admin.text)).body) as SignedStatement;
    expect(verifyStatement('denied', handedOn, ca)).toBe(true);
    expect(JSON.parse(handedOn.statement)).toMatchObject({ denied: expect.arrayContaining([reader.id]) as string[] });
    expect(handedOn).toEqual(JSON.parse((await ask(`${writer.url}/v1/access/denied`, admin.text)).body));
  }, 60_000); // prettier-ignore

  it('makes, issues, publishes and removes nothing, and says who does', async () => {
    const admin = await newToken('admin');
    const copy = await copyOfStore(data);
    const replica = await startReplica(copy, admin.line);
    const certificate = { request: 'x' };
    for (const [method, path, body] of [
      ['POST', '/v1/tokens', { name: 'n', role: 'read', models: '*' }],
      ['DELETE', `/v1/tokens/${admin.id}`, undefined],
      ['POST', '/v1/certificates', certificate],
      ['GET', '/v1/access/tokens', undefined],
      ['DELETE', '/v1/models/org/tiny', undefined],
    ] as const) {
      const answer = await ask(replica.url + path, admin.text, { method, ...(body && { body }) });
      expect(answer.status, path).toBe(503);
      expect(answer.body).toContain(writer.url);
    }
    const metrics = (await ask(`${replica.url}/metrics`, admin.text)).body;
    expect(Number(/^calyx_store_tokens_age_seconds (\S+)$/m.exec(metrics)?.[1])).toBeLessThan(60);
    const before = await readdir(copy);
    for (const args of [
      ['add', TINY, '--name', 'org/other'],
      ['remove', 'org/tiny'],
      ['token', 'create'],
      ['token', 'revoke', admin.id],
    ]) {
      const ended = await startCalyx([...args, '--data', copy]).ended;
      expect(ended, args.join(' ')).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr).toContain(`is the directory of a replica of the cluster at ${writer.url}`);
    }
    expect(await readdir(copy)).toEqual(before);
  }, 60_000);

  it('takes only a token that may manage all models', async () => {
    const reader = await newToken('read');
    const some = await newToken('admin', { more: ['--models', 'org/*'] });
    for (const { line, text } of [reader, some]) {
      const copy = await copyOfStore(data);
      const ended = await refuses(copy, ['--replica'], line);
      expect(ended).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr).toMatch(
        /may not run a store of this cluster: that takes role admin for all models/,
      );
      expect(ended.stderr).toContain('calyx token create --role admin');
      expect(ended.stderr).not.toContain(text);
      // Nothing has been made of it.
      expect(await readdir(join(copy, '.calyx/cluster')).catch(() => [])).toEqual([]);
    }
    const nobody = await refuses(await copyOfStore(data), ['--replica']);
    expect(nobody).toMatchObject({ code: 2, stdout: '' });
    expect(nobody.stderr).toContain('calyx join STRING');
  }, 60_000);

  it('is not mistaken for a writer, nor a writer for one', async () => {
    const admin = await newToken('admin');
    const copy = await copyOfStore(data);
    await (await startReplica(copy, admin.line)).stop();
    const cluster = join(copy, '.calyx/cluster');
    const kept = (await readdir(cluster)).sort();
    expect(kept.filter((name) => name !== 'audit.log')).toEqual(['replica.json', 'tokens.json']);
    for (const name of kept) expect((await stat(join(cluster, name))).mode & 0o777, name).toBe(0o600);
    expect((await stat(cluster)).mode & 0o777).toBe(0o700);
    const forked = await refuses(copy, ['--tls']);
    expect(forked).toMatchObject({ code: 1, stdout: '' });
    expect(forked.stderr).toContain(`${copy} is the directory of a replica`);
    expect(forked.stderr).toContain('start it with --replica');
    expect((await readdir(cluster)).sort()).toEqual(kept);

    const own = join(testDirectory(), 'own');
    await (await startStore(own, { args: ['--tls'] })).stop();
    const twice = await refuses(own, ['--replica'], admin.line);
    expect(twice).toMatchObject({ code: 1, stdout: '' });
    expect(twice.stderr).toContain('has the key of a cluster of its own');
    expect(twice.stderr).toContain(`remove ${own}/.calyx/cluster`);
  }, 60_000);

  it('shows a rollback as soon as it has the ref, and of two stores the newer answer counts', async () => {
    const directory = join(testDirectory(), 'writer');
    const model = join(testDirectory(), 'model');
    await cp(TINY, model, { recursive: true });
    const add = (): Promise<Record<string, unknown>> =>
      calyxJson('add', model, '--name', 'org/tiny', '--data', directory);
    const { revision } = await add();
    await writeFile(join(model, 'note.txt'), 'newer');
    const newer = (await add())['revision'];
    const store = await startStore(directory, { args: ['--tls'] });
    onTestFinished(() => store.stop().then(() => undefined));
    const own = await clusterCertificate(join(directory, '.calyx/cluster/identity.pem'));
    const admin = await newToken('admin', { store: directory });
    const copy = await copyOfStore(directory);
    const replica = await startReplica(copy, admin.line);
    const mainAt = async (url: string): Promise<unknown> => {
      const { body } = await ask(`${url}/v1/models/org/tiny/revisions/main`, admin.text, { ca: own });
      return (JSON.parse(body) as { revision: string }).revision;
    };
    expect(await mainAt(replica.url)).toBe(newer);
    const refused = await startCalyx(['rollback', 'org/tiny', String(revision), '--data', copy]).ended;
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining('is the directory of a replica'),
    ]);
    await calyxJson('rollback', 'org/tiny', String(revision), '--data', directory);
    expect(await mainAt(store.url)).toBe(revision);
    // Who asks both follows the store that knows more.
    const env = { CALYX_STORE: admin.line };
    const args = ['--blocks', '0:1', '--store', `${replica.url},${store.url}`, '--json'];
    const fetched = await startCalyx(
      ['fetch', 'org/tiny', ...args, '--into', join(testDirectory(), 'slice')],
      env,
    ).ended;
    expect(JSON.parse(fetched.stdout)).toMatchObject({ revision });
    // As rsync does it.
    await cp(join(directory, '.calyx/refs'), join(copy, '.calyx/refs'), { recursive: true, force: true });
    const copiedAt = performance.now();
    while ((await mainAt(replica.url)) !== revision)
      expect(performance.now() - copiedAt).toBeLessThan(REVOKED_WITHIN_MS);
  });

  it('serves a ref that is forged, and says so, and who has joined refuses it', async () => {
    const admin = await newToken('admin');
    const copy = await copyOfStore(data);
    const [path] = (await readdir(join(copy, '.calyx/refs'), { recursive: true })).filter((name) => name.endsWith('tiny/main.json'));
    const ref = join(copy, '.calyx/refs', path ?? '');
    const said = JSON.parse(await readFile(ref, 'utf8')) as { generation: number };
    await writeFile(ref, JSON.stringify({ ...said, generation: said.generation + 1 }));
    const replica = await startReplica(copy, admin.line);
    const fetching = (...store: string[]): Promise<Ended> =>
      startCalyx(['fetch', 'org/tiny', '--blocks', '0:1', '--json', '--into', join(testDirectory(), 'slice'), '--store', store.join(',')], { CALYX_STORE: admin.line }).ended;
    const ended = await fetching(replica.url);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`what ${replica.url} says of org/tiny@main has a wrong signature`);
    // One that lies does not keep the others from being believed.
    expect(await fetching(replica.url, writer.url)).toMatchObject({ code: 0 });
    expect((await replica.stop()).stderr).toContain('org/tiny@main has a wrong signature');
  }, 60_000); // prettier-ignore
});

describe('without its writer', () => {
  /** A writer of its own, which the test may kill. */
  async function startWriter(): Promise<{ directory: string; store: RunningStore }> {
    const directory = join(testDirectory(), 'writer');
    await calyxJson('add', TINY, '--name', 'org/tiny', '--data', directory);
    await calyxJson('add', join(scratch, 'big'), '--name', 'org/big', '--data', directory);
    const store = await startStore(directory, { args: ['--tls'] });
    onTestFinished(() => store.stop('SIGKILL').then(() => undefined));
    return { directory, store };
  }

  it('a fetch goes on, a replica starts again and lets in whom it knew; then it follows again', async () => {
    const { directory, store } = await startWriter();
    const own = await clusterCertificate(join(directory, '.calyx/cluster/identity.pem'));
    const admin = await newToken('admin', { store: directory });
    const revoked = await newToken('read', { store: directory });
    const reader = await newToken('read', { store: directory });
    await revoke(revoked, directory);
    const copy = await copyOfStore(directory);
    const replica = await startReplica(copy, admin.line);
    const replicaPort = replica.port;
    const inReplica = (url: string, { text }: Token, status: number): Promise<unknown> =>
      statusWithin(`${url}/v1/models`, text, status, PATIENCE_MS, own);
    await inReplica(replica.url, reader, 200);

    // The writer dies once 8 MiB have come from it.
    let dead: Promise<Ended> | undefined;
    const killed = (): Promise<Ended> => (dead ??= store.stop('SIGKILL'));
    const proxy = await startProxy(store.port, { gate: { afterBytes: 8 * MIB, open: () => killed().then(() => undefined) } });
    onTestFinished(() => proxy.close());
    const into = join(testDirectory(), 'slice');
    const addresses = `${proxy.url.replace('http:', 'https:')},${replica.url}`;
    const fetched = await startCalyx(['fetch', 'org/big', '--blocks', '0:4', '--json', '--into', into, '--store', addresses], { CALYX_STORE: reader.line }).ended;
    expect(fetched).toMatchObject({ code: 0 });
    expect(await dead).toMatchObject({ signal: 'SIGKILL' });

    // It starts again, on the same port, though nobody can give it a certificate or a table.
    const said = await replica.stop();
    expect(said.stderr).toContain('does not tell its tokens');
    const again = await startReplica(copy, admin.line, { listen: `127.0.0.1:${replicaPort}` });
    await inReplica(again.url, reader, 200);
    await inReplica(again.url, revoked, 401);
    const metrics = (await ask(`${again.url}/metrics`, admin.text, { ca: own })).body;
    expect(Number(/^calyx_store_tokens_age_seconds (\S+)$/m.exec(metrics)?.[1])).toBeGreaterThan(0);

    // The writer comes back where it was, and has revoked the reader meanwhile.
    await revoke(reader, directory);
    const back = await startStore(directory, { listen: `127.0.0.1:${store.port}`, args: ['--tls'] });
    onTestFinished(() => back.stop().then(() => undefined));
    await inReplica(again.url, reader, 401);

    // A replica whose own token is revoked is none.
    await revoke(admin, directory);
    const ended = await again.process.ended;
    expect(ended).toMatchObject({ code: 1, signal: null });
    expect(ended.stderr).toContain('this store is no replica any more');
    const refused = await refuses(copy, ['--tls', '--replica'], admin.line);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('this token was revoked');
  }, 120_000); // prettier-ignore
});
