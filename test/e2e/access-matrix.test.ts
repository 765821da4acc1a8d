import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROLES, STORE_NAME, type Role } from '../../src/core/access.js';
import { ERROR_STATUS } from '../../src/core/error-status.js';
import { isCalyxError, type ErrorCode } from '../../src/core/errors.js';
import { askOwner } from '../../src/storage/files/ownership.js';
import { calyxJson, startCalyx, type Ended } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { readWithPython } from '../support/nfs-over-tls.js';
import { ask, certificateOf, clusterOf, holderOf, RealCluster, type Told } from '../support/real-cluster.js';
import { startNodeProcess, type NodeProcess } from '../support/running-node.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { allAreOver, makeComers, Secrets, type Comer } from './access-comers.js';
import { MODEL, questionFor, sessionRequest, type Asked, type Places } from './access-questions.js';
import { doorAnswers, type DoorAnswers } from './access-table.js';

const SMALL = join(ROOT, 'test/fixtures/models/qwen2-tied');

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
const secrets = new Secrets();
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
let comers: readonly Comer[];
let places: Places;

const path = (name: string): string => join(scratch, name);

beforeAll(async () => {
  const publish = (model: string, from: string): Promise<unknown> =>
    calyxJson('add', from, '--name', model, '--data', data);
  await Promise.all([publish(MODEL, TINY), calyxJson('add', TINY, '--name', MODEL, '--data', otherData)]);
  await Promise.all([publish('acme/doomed', SMALL), publish('beta/other', SMALL)]);
  await publish('acme/gone', SMALL);
  await Promise.all([
    RealCluster.start(data, { nfs: '127.0.0.1:0', args: ['--nfs-require-client-cert'] }).then((started) => {
      cluster = started;
      closers.push(() => cluster.store.stop());
    }),
    startStore(otherData).then((started) => {
      open = started;
      closers.push(() => open.stop());
    }),
  ]);
  secrets.token(cluster.local);
  comers = await makeComers(cluster, { url: open.url, data: otherData }, secrets);
  const ofNode = secrets.token(await cluster.token('node', { name: 'the node' }));
  node = await startNodeProcess(
    ['--model', MODEL, '--blocks', '0:1', '--data', path('node'), '--name', 'n'],
    { CALYX_STORE: cluster.joinString(ofNode), XDG_CONFIG_HOME: path('config') },
  );
  closers.push(() => node.stop());
  places = await findPlaces();
  await allAreOver(cluster);
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

async function findPlaces(): Promise<Places> {
  const victim = secrets.token(await cluster.token('read', { name: 'victim', models: MODEL }));
  const main = await cluster.manage('GET', `/v1/models/${MODEL}/revisions/main`);
  const { revision, manifest } = JSON.parse(main) as { revision: string; manifest: string };
  const { files } = JSON.parse(await cluster.manage('GET', `/v1/manifests/${manifest}`)) as {
    files: { path: string; blob: string }[];
  };
  const blob = files.find((file) => file.path === 'config.json')?.blob ?? '';
  const session = 'a-session-of-the-matrix';
  const right = (role: string): Comer | undefined => comers.find(({ column }) => column === role);
  const body = sessionRequest(session, { revision });
  // One each, under the same id: a session is there only for the token that opened it.
  for (const role of ROLES) {
    const asked = { method: 'POST', path: '/v1/stage/sessions', pair: right(role)?.pair, body };
    expect(await cluster.askNode(node.url, asked)).toMatchObject({ status: 201 });
  }
  const rightToken = (role: string): string | undefined => right(role)?.token;
  const found = { revision, manifest, blob, session, rightToken, victimId: victim.id };
  return { ...found, cluster, openUrl: open.url, secrets };
}

/** What somebody is told at a door, as the table writes it. */
async function answerAt(door: string, who: Comer, address: string): Promise<string> {
  if (door.startsWith('socket: ')) return answerOfSocket(door.slice('socket: '.length), who);
  if (door.startsWith('NFS')) return answerOfNfs(who, address);
  const question = { ...(await questionFor(door, who, places)), from: address };
  const atNode = door.startsWith('node: ');
  const told = atNode
    ? await cluster.askNode(node.url, { ...question, pair: who.pair })
    : await ask(
        isAtOpen(who) ? open.url : cluster.store.url,
        { ca: cluster.ca, servername: STORE_NAME },
        { ...question, token: who.token },
      );
  // Whoever has made a token is told it, and nobody else ever is.
  if (door === 'POST /v1/tokens' && told.status === 201)
    secrets.token(holderOf((JSON.parse(told.body) as { token: string }).token, 'made', 'read'));
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
const LISTS = [
  ...['GET /v1/models', 'GET /api/models', 'GET /tree/models'],
  ...['GET /v1/nodes', 'GET /v1/tokens', 'POST /v1/gc'],
];
/** What of acme/tiny stands in them; its node, and the token of it. */
const LISTED = /acme/;

/** What the audit log has to say of a request. */
function expectAudit({ method = '', path: asked, route, manages }: Asked, who: Comer, address: string, told: Told): void {
  const atOpen = isAtOpen(who);
  const reason = REFUSALS.includes(told.status) && !isPlainlyMissing(told, who) ? told.code : undefined;
  const line = {
    ...(who.holder !== undefined && { who: who.holder.name, token: who.holder.id, role: who.holder.role }),
    ...(who.column === 'open' && { who: 'anybody', role: 'node' as const }),
    allowed: reason === undefined,
    ...(reason !== undefined && { reason }),
    count: 1,
  };
  const action = `${method} ${route ?? asked}`;
  // An open store does not ask who wants what does not exist.
  const lines: AuditLine[] = atOpen && route === '(no such route)' ? [{ door: 'http', action, allowed: true, count: 1 }] : [{ door: 'http', action, ...line }];
  const holder = isOver(who) ? undefined : who.holder;
  const reached = holder?.role === 'admin' || (manages === 'certificate' && (holder !== undefined || who.column === 'open'));
  if (manages !== undefined && reached) lines.unshift({ door: 'management', action: manages, ...line });
  (atOpen ? expectedAudit.open : expectedAudit.store).set(address, lines);
} // prettier-ignore

const REFUSALS = [401, 403, 404];

/** Who comes to the store that asks nobody. */
function isAtOpen({ column }: Comer): boolean {
  return column.startsWith('open');
}

/** Who once had a right token, and has not any more: it is known whose it was. */
function isOver({ column }: Comer): boolean {
  return ['revoked', 'expired'].includes(column);
}

/** For who sees all models, what is not there was not refused. */
function isPlainlyMissing({ status }: Told, { holder, column }: Comer): boolean {
  return status === 404 && (column.startsWith('open') || holder?.name.endsWith('beta') === false);
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

async function answerOfNfs(who: Comer, address: string): Promise<string> {
  const { column, pair } = who;
  // A certificate that is over counts for nothing in TLS, so nobody reads whose it was.
  const holder = column === 'expired' ? undefined : who.holder;
  const directory = path(address);
  mkdirSync(directory);
  const told = await readWithPython(directory, {
    ...{ port: cluster.store.nfs?.port ?? 0, path: ['models', 'acme', 'tiny', 'config.json'], from: address },
    tls: { ca: cluster.ca, ...(pair !== undefined && { client: pair }) },
  });
  heard.push({ where: `NFS, ${column}`, text: JSON.stringify(told) });
  const known = holder && { who: holder.name, token: holder.id, role: holder.role };
  const verdict =
    known === undefined || isOver(who) ? { allowed: false, reason: 'unauthenticated' } : { allowed: true };
  expectedAudit.store.set(address, [{ door: 'nfs', action: 'connect', ...known, ...verdict, count: 1 }]);
  if (told.refused === undefined) return '200';
  return { 'mount: denied 1 5': '401', 'acme: status 2': '404' }[told.refused] ?? told.refused;
}

/** Everybody who is a column of the table, and where each comes from: no two share an address. */
function everybodyAt({ door, answers }: DoorAnswers, row: number): { who: Comer; address: string }[] {
  const all = comers.filter(({ column, role }) => {
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
    for (const line of key.split('\n')) secrets.all.add(line);
    expect(secrets.all.size).toBeGreaterThan(50);
    expect([...secrets.all].every((secret) => secret.length >= 16)).toBe(true);
    said.push({ where: 'tokens.json', text: readFileSync(join(clusterOf(data), 'tokens.json'), 'utf8') });
    const all = [...said, ...heard];
    expect(all.length).toBeGreaterThan(500);
    const leaks = all.filter(({ text }) => secrets.isIn(text));
    expect(leaks.map(({ where }) => where)).toEqual([]);
    // The certificate of the cluster is no secret; what is searched for would be found.
    expect(identity).toContain(certificateOf(data));
    expect(secrets.isIn(identity)).toBe(true);
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
