import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROLES, STORE_NAME, type Role } from '../../src/core/access.js';
import { ERROR_STATUS } from '../../src/core/error-status.js';
import { isCalyxError, type ErrorCode } from '../../src/core/errors.js';
import { encodeTensorMessage, TENSOR_MEDIA_TYPE } from '../../src/inference/tensor-message.js';
import { askOwner } from '../../src/storage/files/ownership.js';
import { calyxJson, startCalyx, type Ended } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { readWithPython } from '../support/nfs-over-tls.js';
import {
  ask,
  certificateFrom,
  certificateOf,
  clusterOf,
  holderOf,
  RealCluster,
  secretOf,
  wrongSecret,
  type Holder,
  type Question,
  type Told,
} from '../support/real-cluster.js';
import { startNodeProcess, type NodeProcess } from '../support/running-node.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { grantOf, SmallPki, type Pair } from '../support/small-pki.js';
import { doorAnswers, type DoorAnswers } from './access-table.js';

const MODEL = 'acme/tiny';
const SMALL = join(ROOT, 'test/fixtures/models/qwen2-tied');
const SESSION = 'a-session-of-the-matrix';

/** Somebody who comes to a door: a cell of the table, or one of the three roles that share it. */
interface Comer {
  readonly column: string;
  readonly role: Role | undefined;
  readonly token: string | undefined;
  readonly pair: Pair | undefined;
  /** Whose name the audit log must say; undefined if nobody can know. */
  readonly holder: Holder | undefined;
}

/** A line that the audit log must have. */
interface AuditLine {
  readonly door: string;
  readonly action: string;
  readonly who?: string;
  readonly token?: string;
  readonly role?: Role;
  readonly allowed: boolean;
  readonly reason?: string;
  readonly count: number;
}

const scratch = suiteDirectory();
const data = join(scratch, 'data');
const otherData = join(scratch, 'other');
/** All that nobody may see anywhere. */
const secrets = new Set<string>();
/** All that was said to those who asked, by their door and column. */
const heard: { readonly where: string; readonly text: string }[] = [];
/** What the audit logs must say of each address. */
const expectedAudit = { store: new Map<string, AuditLine[]>(), open: new Map<string, AuditLine[]>() };
/** As it must say of the socket, where all come from this machine: how often somebody was answered how. */
const expectedSocket = new Map<string, number>();
const closers: (() => Promise<unknown>)[] = [];

let cluster: RealCluster;
let open: RunningStore;
let node: NodeProcess;
let comers: Comer[];
let anybody: Comer;
let victim: Holder;
let revision: string;
let digests: { manifest: string; blob: string };

const path = (address: string): string => join(scratch, address);
const know = (holder: Holder): Holder => {
  secrets.add(secretOf(holder.text));
  return holder;
};
const knowPair = (pair: Pair): Pair => {
  // A line of the key in the middle is as good as the whole.
  for (const line of pair.key.split('\n').slice(1, -2)) secrets.add(line);
  return pair;
};

beforeAll(async () => {
  const publish = (model: string, from: string): Promise<unknown> =>
    calyxJson('add', from, '--name', model, '--data', data);
  await Promise.all([publish(MODEL, TINY), calyxJson('add', TINY, '--name', MODEL, '--data', otherData)]);
  await Promise.all([publish('acme/doomed', SMALL), publish('beta/other', SMALL)]);
  await publish('acme/gone', SMALL);
  [cluster, open] = await Promise.all([
    RealCluster.start(data, { nfs: '127.0.0.1:0', args: ['--nfs-require-client-cert'] }),
    startStore(otherData),
  ]);
  closers.push(
    () => cluster.store.stop(),
    () => open.stop(),
  );
  know(cluster.local);
  comers = await makeComers();
  victim = know(await cluster.token('read', { name: 'victim', models: MODEL }));
  const main = await cluster.manage('GET', `/v1/models/${MODEL}/revisions/main`);
  const found = JSON.parse(main) as { revision: string; manifest: string };
  revision = found.revision;
  const manifest = JSON.parse(await cluster.manage('GET', `/v1/manifests/${found.manifest}`)) as {
    files: { path: string; blob: string }[];
  };
  const blob = manifest.files.find((file) => file.path === 'config.json')?.blob ?? '';
  digests = { manifest: found.manifest, blob };
  const { pair } = comer('admin');
  const opened = await cluster.askNode(node.url, {
    ...{ method: 'POST', path: '/v1/stage/sessions', pair },
    body: { session: SESSION, model: MODEL, revision, max_tokens: 8 },
  });
  expect(opened.status).toBe(201);
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

/** Everybody who comes: makes their tokens and certificates, and waits until those that are to be over are. */
async function makeComers(): Promise<Comer[]> {
  const other = holderOf(
    readFileSync(join(clusterOf(otherData), 'local-token'), 'utf8').trim(),
    'l',
    'admin',
  );
  know(other);
  const atOpen = (question: Question): Promise<Told> => ask(open.url, {}, question);
  const foreign = async (role: Role): Promise<Holder> => {
    const body = { name: role, role, models: '*' };
    const told = await atOpen({ method: 'POST', path: '/v1/tokens', token: other.text, body });
    return know(holderOf((JSON.parse(told.body) as { token: string }).token, role, role));
  };
  const pki = await SmallPki.make();
  const made: Comer[] = [{ column: 'nothing', role: undefined, token: undefined, pair: undefined, holder: undefined }]; // prettier-ignore
  anybody = { ...made[0], column: 'open' } as Comer;
  const revoked: Holder[] = [];
  for (const role of ROLES) {
    const add = (column: string, holder: Holder, pair: Pair, known = false): void => {
      const { text: token } = know(holder);
      made.push({ column, role, token, pair: knowPair(pair), holder: known ? holder : undefined });
    };
    const right = await cluster.token(role, { name: `the ${role}` });
    add(role, right, await cluster.certificate(right), true);
    const beta = await cluster.token(role, { name: `the ${role} of beta`, models: 'beta/*' });
    add(`${role} beta`, beta, await cluster.certificate(beta), true);
    add('wrong', { ...right, text: wrongSecret(right) }, await pki.pair(grantOf(right.id, role)));
    const over = await cluster.token(role, { name: 'over' });
    add('revoked', over, await cluster.certificate(over));
    revoked.push(over);
    const late = await cluster.token(role, { name: 'late', expiresIn: 3 });
    add('expired', late, await cluster.certificate(late));
    const stranger = await foreign(role);
    add('foreign', stranger, await certificateFrom(atOpen, stranger.text));
  }
  await Promise.all(revoked.map((holder) => cluster.revoke(holder)));
  const running = know(await cluster.token('node', { name: 'the node' }));
  node = await startNodeProcess(
    ['--model', MODEL, '--blocks', '0:1', '--data', path('node'), '--name', 'n'],
    { CALYX_STORE: cluster.joinString(running), XDG_CONFIG_HOME: path('config') },
  );
  closers.push(() => node.stop());
  // The store says when the last of them is over: its list of what is denied has six.
  await denied(6);
  return made;
}

/** Waits until the store denies so many tokens. */
async function denied(count: number): Promise<void> {
  let after = '';
  for (;;) {
    const told = await cluster.manage('GET', `/v1/access/denied${after}`);
    const list = JSON.parse(told) as { version: number; denied: string[] };
    if (list.denied.length >= count) return;
    after = `?after=${list.version}`;
  }
}

function comer(column: string): Comer {
  const found = comers.find((one) => one.column === column);
  if (found === undefined) throw new Error(`there is no ${column}`);
  return found;
}

function nodeRecord(id: string): unknown {
  const blocks = { start: 0, end: 1 };
  const url = 'http://127.0.0.1:1';
  return { id, name: 'of the matrix', url, model: MODEL, revision, blocks, embed: true, head: false };
}

/** What is asked at a door of the table, and what the audit log calls that. */
interface Asked extends Question {
  readonly route?: string;
  /** How the second line is called that management leaves, if it is reached. */
  readonly manages?: string;
}

/** Fills in what the name of a door leaves open. */
async function questionFor(door: string, { column, token }: Comer): Promise<Asked> {
  const [, method = '', named = ''] = /^(?:\w+: )?(\w+) ([^ ,]+)/.exec(door) ?? [];
  const just = { method, path: named };
  switch (door.replace(/^node: /, '')) {
    case 'POST /v1/certificates':
      return { ...just, body: { request: (await newRequest()).request }, manages: 'certificate' };
    case 'GET /v1/models/acme/tiny/revisions/main':
      return { ...just, route: '/v1/models/:org/:name/revisions/:revision' };
    case 'GET /v1/manifests/SHA256':
      return { ...just, path: `/v1/manifests/${digests.manifest}`, route: '/v1/manifests/:digest' };
    case 'GET /v1/blobs/SHA256':
      return { ...just, path: `/v1/blobs/${digests.blob}`, route: '/v1/blobs/:digest' };
    case 'GET /v1/nodes': {
      const id = randomUUID();
      if (column === 'open')
        await ask(open.url, {}, { method: 'PUT', path: `/v1/nodes/${id}`, body: nodeRecord(id) });
      return just;
    }
    case 'PUT /v1/nodes/ID': {
      const id = randomUUID();
      return { ...just, path: `/v1/nodes/${id}`, body: nodeRecord(id), route: '/v1/nodes/:id' };
    }
    case 'DELETE /v1/nodes/ID, its own': {
      const id = randomUUID();
      const put = { method: 'PUT', path: `/v1/nodes/${id}`, body: nodeRecord(id), token };
      if (column === 'open') await ask(open.url, {}, put);
      else if (['node', 'admin'].includes(column)) await cluster.ask(put);
      return { ...just, path: `/v1/nodes/${id}`, route: '/v1/nodes/:id' };
    }
    case 'DELETE /v1/nodes/ID, of another token':
      return { ...just, path: `/v1/nodes/${await anothers(column)}`, route: '/v1/nodes/:id' };
    case 'POST /v1/tokens':
      return { ...just, body: { name: 'made', role: 'read', models: MODEL }, manages: 'token create' };
    case 'DELETE /v1/tokens/ID':
      return {
        ...{ ...just, path: `/v1/tokens/${victim.id}` },
        ...{ route: '/v1/tokens/:id', manages: 'token revoke' },
      };
    case 'DELETE /v1/models/acme/doomed':
      return { ...just, route: '/v1/models/:org/:name' };
    case 'GET /v1/nothing (there is no such route)':
      return { ...just, route: '(no such route)' };
    case 'POST /v1/stage/sessions':
      return { ...just, body: { session: randomUUID(), model: MODEL, revision, max_tokens: 8 } };
    case 'POST /v1/stage/sessions/ID/forward': {
      const message = { name: 'input_ids', shape: [1, 1], data: BigInt64Array.of(5n) } as const;
      const body = Buffer.concat(encodeTensorMessage(message));
      return {
        ...just,
        path: `/v1/stage/sessions/${SESSION}/forward?position=0`,
        body,
        type: TENSOR_MEDIA_TYPE,
      };
    }
    case 'DELETE /v1/stage/sessions/ID':
      return { ...just, path: `/v1/stage/sessions/${SESSION}` };
    default:
      return { ...just, ...(named.startsWith('/tree/') && { route: '/tree/*' }) };
  }
}

/** A node that another token has just registered; the registry forgets those that fall silent. */
async function anothers(column: string): Promise<string> {
  const id = randomUUID();
  const { token } = comer(column === 'admin' ? 'node' : 'admin');
  await cluster.ask({ method: 'PUT', path: `/v1/nodes/${id}`, body: nodeRecord(id), token });
  return id;
}

async function newRequest(): Promise<{ request: string }> {
  const made = await import('../../src/cluster/identity/certificate-request.js');
  const pair = await made.createCertificateRequest();
  knowPair({ key: pair.key, certificate: '' });
  return pair;
}

/** What somebody is told at a door, as the table writes it. */
async function answerAt(door: string, who: Comer, address: string): Promise<string> {
  if (door.startsWith('socket: ')) return answerOfSocket(door.slice('socket: '.length), who);
  if (door.startsWith('NFS')) return answerOfNfs(who, address);
  const question = { ...(await questionFor(door, who)), from: address };
  const atNode = door.startsWith('node: ');
  const told = atNode
    ? await cluster.askNode(node.url, { ...question, pair: who.pair })
    : await ask(
        who.column === 'open' ? open.url : cluster.store.url,
        { ca: cluster.ca, servername: STORE_NAME },
        { ...question, token: who.token },
      );
  // Whoever has made a token is told it, and nobody else ever is.
  if (door === 'POST /v1/tokens' && told.status === 201)
    know(holderOf((JSON.parse(told.body) as { token: string }).token, 'made', 'read'));
  else heard.push({ where: `${door}, ${who.column}`, text: told.body });
  if (!atNode && door !== 'GET /healthz') expectAudit(question, who, address, told);
  if (told.status === 401) expect(told.headers['www-authenticate']).toMatch(/^Bearer/);
  const code = CODES[told.status];
  expect(told.code, `${door}, ${who.column}: ${told.body}`).toBe(code);
  const hides = told.status === 200 && LISTS.includes(door) && !LISTED.test(told.body);
  return hides ? 'none' : String(told.status);
}

const CODES: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthenticated',
  403: 'refused',
  404: 'not-found',
};
/** Doors that tell of several models. */
const LISTS = ['GET /v1/models', 'GET /tree/models', 'GET /v1/nodes', 'GET /v1/tokens'];
/** What of acme/tiny stands in them; its node, and the token of it. */
const LISTED = /acme/;

/** What the audit log has to say of a request. */
function expectAudit({ method = '', path: asked, route, manages }: Asked, who: Comer, address: string, told: Told): void {
  const atOpen = who.column === 'open';
  const reason = REFUSALS.includes(told.status) && !isPlainlyMissing(told, who) ? told.code : undefined;
  const line = {
    ...(who.holder !== undefined && { who: who.holder.name, token: who.holder.id, role: who.holder.role }),
    ...(atOpen && { who: 'anybody', role: 'node' as const }),
    allowed: reason === undefined,
    ...(reason !== undefined && { reason }),
    count: 1,
  };
  const action = `${method} ${route ?? asked}`;
  // An open store does not ask who wants what does not exist.
  const lines: AuditLine[] = atOpen && route === '(no such route)' ? [{ door: 'http', action, allowed: true, count: 1 }] : [{ door: 'http', action, ...line }];
  const reached = who.holder?.role === 'admin' || (manages === 'certificate' && (who.holder !== undefined || atOpen));
  if (manages !== undefined && reached) lines.unshift({ door: 'management', action: manages, ...line });
  (atOpen ? expectedAudit.open : expectedAudit.store).set(address, lines);
} // prettier-ignore

const REFUSALS = [401, 403, 404];

/** For who sees all models, what is not there was not refused. */
function isPlainlyMissing({ status }: Told, { holder, column }: Comer): boolean {
  return status === 404 && (column === 'open' || holder?.name.endsWith('beta') === false);
}

async function answerOfSocket(operation: string, { column, token, holder }: Comer): Promise<string> {
  const input = operation === 'remove' ? { model: 'acme/gone' } : {};
  const directory = column === 'open' ? otherData : data;
  let code: string | undefined;
  try {
    const told = await askOwner(join(directory, '.calyx/owners'), { operation, input, token });
    heard.push({ where: `socket: ${operation}, ${column}`, text: JSON.stringify(told?.output) });
  } catch (error) {
    if (!isCalyxError(error)) throw error;
    code = error.code;
    heard.push({ where: `socket: ${operation}, ${column}`, text: `${error.message} ${error.hint}` });
  }
  if (column !== 'open') {
    const key = [operation, code ?? 'allowed', code === undefined ? holder?.name : ''].join();
    expectedSocket.set(key, (expectedSocket.get(key) ?? 0) + 1);
  }
  return code === undefined ? '200' : String(ERROR_STATUS[code as ErrorCode]);
}

async function answerOfNfs({ column, pair, holder }: Comer, address: string): Promise<string> {
  const directory = path(address);
  mkdirSync(directory);
  const told = await readWithPython(directory, {
    ...{ port: cluster.store.nfs?.port ?? 0, path: ['models', 'acme', 'tiny', 'config.json'], from: address },
    tls: { ca: cluster.ca, ...(pair !== undefined && { client: pair }) },
  });
  heard.push({ where: `NFS, ${column}`, text: JSON.stringify(told) });
  const known = holder && { who: holder.name, token: holder.id, role: holder.role };
  const verdict = known === undefined ? { allowed: false, reason: 'unauthenticated' } : { allowed: true };
  expectedAudit.store.set(address, [{ door: 'nfs', action: 'connect', ...known, ...verdict, count: 1 }]);
  if (told.refused === undefined) return '200';
  return { 'mount: denied 1 5': '401', 'acme: status 2': '404' }[told.refused] ?? told.refused;
}

/** Everybody who is a column of the table, and where each comes from: no two share an address. */
function everybodyAt({ door, answers }: DoorAnswers, row: number): { who: Comer; address: string }[] {
  const all = [...comers, anybody].filter(({ column, role }) => {
    // The socket counts wrong tokens of this machine, and asks for patience after five: one role will do there.
    const wrong = door.startsWith('socket') && ['wrong', 'foreign'].includes(column);
    return answers.get(column) !== '-' && !(wrong && role !== 'admin');
  });
  return all.map((who, index) => ({ who, address: `127.1.${row + 1}.${index + 1}` }));
}

describe.runIf(process.platform === 'linux')('who comes in by which door', () => {
  it.each(doorAnswers().map((row, index) => ({ ...row, index })))('$door', async (row) => {
    const { door, answers } = row;
    const got = await Promise.all(
      everybodyAt(row, row.index).map(async ({ who, address }) => {
        const answer = await answerAt(door, who, address);
        return [who.column, who.role, answer];
      }),
    );
    const wanted = got.map(([column = '', role]) => [column, role, answers.get(column)]);
    expect(got).toEqual(wanted);
    // No column is left out.
    expect(new Set(got.map(([column]) => column))).toEqual(
      new Set([...answers].flatMap(([column, answer]) => (answer === '-' ? [] : [column]))),
    );
  });
});

describe.runIf(process.platform === 'linux')('what is written down', () => {
  const said: { where: string; text: string }[] = [];

  it('no command says a secret, whatever is wrong', async () => {
    const config = path('config');
    const env = (column: string, role: Role = 'read'): Record<string, string> => {
      const who = comers.find((one) => one.column === column && one.role === role);
      const holder = holderOf(who?.token ?? '', '', role);
      return { XDG_CONFIG_HOME: config, CALYX_STORE: cluster.joinString(holder) };
    };
    const fetching = ['fetch', MODEL, '--blocks', '0:1', '--into', path('into'), '--verbose'];
    const commands: [string, string[], Record<string, string>, RegExp][] = [
      ['fetch', fetching, env('revoked'), /this token was revoked/],
      ['fetch --json', [...fetching, '--json'], env('expired'), /this token has expired/],
      ['run', ['run', MODEL, 'hello', '--verbose'], env('wrong'), /this token is not known here/],
      ['node', ['node', '--model', MODEL, '--blocks', '0:1', '--verbose'], env('read'), /the role 'read'/],
      ['run', ['run', MODEL, 'hello', '--verbose'], env('foreign'), /not a store of this cluster/],
      ['join', ['join', env('foreign')['CALYX_STORE'] ?? ''], env('read'), /not a store of this cluster/],
      ['token list', ['token', 'list', '--data', data, '--json'], {}, /^$/],
    ];
    for (const [name, args, more, expected] of commands) {
      const ended = await startCalyx(args, more).ended;
      expect(ended.stderr, name).toMatch(expected);
      said.push({ where: name, text: ended.stdout + ended.stderr });
    }
  });

  it('no process shows a secret in the list of processes', () => {
    for (const { pid } of [cluster.store.process.child, open.process.child, node.process.child])
      said.push({ where: `process ${pid}`, text: readFileSync(`/proc/${pid}/cmdline`, 'utf8') });
    expect(said.at(-1)?.text).toContain('node');
  });

  it('each answer has its line in the audit log', async () => {
    const outputs = await endAll();
    for (const [where, { stdout, stderr }] of Object.entries(outputs))
      said.push({ where, text: stdout + stderr });
    expect(outputs['node']?.stderr).toMatch(/"reason":"unauthenticated".*a request was refused/);
    for (const [directory, expected] of [
      [data, expectedAudit.store],
      [otherData, expectedAudit.open],
    ] as const) {
      const text = readFileSync(join(clusterOf(directory), 'audit.log'), 'utf8');
      said.push({ where: `the audit log of ${directory}`, text });
      const lines = text.trimEnd().split('\n').map((line) => JSON.parse(line) as AuditLine & Record<string, unknown>); // prettier-ignore
      const byAddress = new Map<string, unknown[]>();
      for (const { address, door, action, who, token, role, allowed, reason, count } of lines) {
        const line = { door, action, who, token, role, allowed, reason, count };
        byAddress.set(String(address), [...(byAddress.get(String(address)) ?? []), line]);
      }
      for (const [address, wanted] of expected) expect([address, byAddress.get(address) ?? []]).toEqual([address, wanted]);
      if (directory === data) expect(countsOfSocket(lines)).toEqual(expectedSocket);
    }
  }); // prettier-ignore

  it('nothing that was said or written has a secret in it', () => {
    const identity = readFileSync(join(clusterOf(data), 'identity.pem'), 'utf8');
    const [, key = ''] = /PRIVATE KEY-----\n([^]*?)\n-----END/.exec(identity) ?? [];
    for (const line of key.split('\n')) secrets.add(line);
    expect(secrets.size).toBeGreaterThan(50);
    expect([...secrets].every((secret) => secret.length >= 16)).toBe(true);
    said.push({ where: 'tokens.json', text: readFileSync(join(clusterOf(data), 'tokens.json'), 'utf8') });
    const all = [...said, ...heard];
    expect(all.length).toBeGreaterThan(500);
    const leaks = all.filter(({ text }) => [...secrets].some((secret) => text.includes(secret)));
    expect(leaks.map(({ where }) => where)).toEqual([]);
    // The certificate of the cluster is no secret; what is searched for would be found.
    expect(identity).toContain(certificateOf(data));
    expect([...secrets].some((secret) => identity.includes(secret))).toBe(true);
  });
});

/** Ends all processes, so that what they have to write is written. */
async function endAll(): Promise<Record<string, Ended>> {
  const ended = { node: await node.stop(), store: await cluster.store.stop(), open: await open.stop() };
  closers.length = 0;
  return ended;
}

/** How often the audit log says that somebody was answered how at the socket of the directory; the commands of this test come there too. */
function countsOfSocket(lines: readonly (AuditLine & Record<string, unknown>)[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { address, action, who, allowed, reason, count } of lines) {
    if (address !== 'this machine' || who === 'local') continue;
    const key = [action, reason ?? 'allowed', allowed ? who : ''].join();
    counts.set(key, (counts.get(key) ?? 0) + count);
  }
  return counts;
}
