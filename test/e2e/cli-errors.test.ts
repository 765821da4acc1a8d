import { readFile, readdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { TINY } from '../support/models.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';
import { ROOT, suiteDirectory } from '../support/directories.js';

const scratch = suiteDirectory();
let store: RunningStore;

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', join(scratch, 'data'));
  store = await startStore(join(scratch, 'data'));
  return async () => {
    await store.stop();
  };
});

const TRACE = /^\s+at |node:internal|this was not expected/m;

describe('fetch refuses', () => {
  it.each([
    [['org/tiny', '--blocks', '4:4'], 2, 'the block range 4:4 is empty'],
    [['org/tiny', '--blocks', '8:4'], 2, 'the block range 8:4 is empty'],
    [['org/tiny', '--blocks', '0:99'], 2, 'the model has 12 blocks: 0:12'],
    [['org/tiny', '--blocks', '12:13'], 2, 'the model has 12 blocks: 0:12'],
    [['org/tiny', '--blocks', 'a:b'], 2, "'a:b' is not a block range"],
    [['org/tiny', '--blocks', '-1:3'], 2, "'-1:3' is not a block range"],
    [['org/tiny', '--blocks=0:0x4'], 2, "'0:0x4' is not a block range"],
    [['org/tiny', '--blocks', ''], 2, "'' is not a block range"],
    [['org/tiny', '--blocks', '4'], 2, "'4' is not a block range"],
    [['org/tiny', '--blocks', '0:9999999999999'], 2, 'is not a block range'],
    [['org/tiny', '--blocks', '0:1', '--drop', '3:1'], 2, 'the block range 3:1 is empty'],
    [['org/tiny', '--drop', '0:13'], 2, 'the model has 12 blocks: 0:12'],
    [['org/tiny'], 2, 'say which blocks: --blocks 0:4'],
    [['org/tiny', '--blocks', '0:1', '--budget', 'much'], 2, "'much' is not a size"],
    [['org/tiny', '--blocks', '0:1', '--budget', '-5'], 2, "'-5' is not a size"],
    [['org/tiny', '--blocks', '0:1', '--nonsense'], 2, "unknown option '--nonsense'"],
    [['--blocks', '0:1'], 2, "missing required argument 'model'"],
    [['tiny', '--blocks', '0:1'], 2, "'tiny' is not a model name"],
    [['org/../tiny', '--blocks', '0:1'], 2, 'is not a model name'],
    [['org/tiny@', '--blocks', '0:1'], 2, 'is not a revision'],
    [['org/tiny@a/b', '--blocks', '0:1'], 2, 'is not a revision'],
    [['org/other', '--blocks', '0:1'], 1, 'the store has no model org/other\n  it has org/tiny'],
    [['org/tiny@gone', '--blocks', '0:1'], 1, "org/tiny has no revision or ref 'gone'"],
    [[`org/tiny@${'0'.repeat(40)}`, '--blocks', '0:1'], 1, 'has no revision or ref'],
  ])('%j', async (args, code, message) => {
    const before = await egress(store.url);
    const into = join(scratch, 'refused');
    const ended = await calyx('fetch', ...args, '--store', store.url, '--into', into, '--json');
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toMatch(TRACE);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(await readdir(scratch)).not.toContain('refused');
    expect(await egress(store.url)).toBe(before);
  });

  it.each([
    ['nonsense'],
    [''],
    ['127.0.0.1:7070'],
    ['ftp://127.0.0.1'],
    ['http://'],
    ['http://user:secret@127.0.0.1:7070'],
    ['http://127.0.0.1:99999'],
    ['STORE,'],
    ['STORE,nonsense'],
  ])('the address %j', async (text) => {
    const address = text.replace('STORE', store.url);
    const args = ['--blocks', '0:1', '--into', join(scratch, 'refused'), '--json'];
    const ended = await calyx('fetch', 'org/tiny', '--store', address, ...args);
    expect(ended.stderr).toContain('is not the address of a store');
    expect(ended.stderr).toContain('http://HOST:PORT');
    expect(ended.stderr).not.toContain('secret');
    expect(ended).toMatchObject({ code: 2, stdout: '' });
  });

  it('a store that does not run, and says how to start one', async () => {
    // A port that was just free and is closed again.
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const into = join(scratch, 'refused');
    const url = `http://127.0.0.1:${port}`;
    const ended = await calyx('fetch', 'org/tiny', '--blocks', '0:1', '--store', url, '--into', into);
    expect(ended.stderr).toContain(`cannot reach ${url}: connect ECONNREFUSED`);
    expect(ended.stderr).toContain('calyx store --listen HOST:PORT');
    expect(ended.stderr).not.toMatch(TRACE);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    // The next address is asked.
    const both = `${url},${store.url}`;
    const result = await calyxJson(
      ...['fetch', 'org/tiny', '--blocks', '0:1', '--store', both, '--into', join(scratch, 'second')],
    );
    expect(result['bytesFetched']).toBe(result['bytesNeeded']);
    expect(result['retries']).toBeGreaterThan(0);
  });

  it.each([
    ['a page', 200, '<html>hello</html>'],
    ['other JSON', 200, '{"models":[]}'],
    ['an error page', 500, '<html>oops</html>'],
    ['a page that is missing', 404, '<html>not here</html>'],
  ])('a server that is no store: %s', async (_what, status, body) => {
    const server = createServer((_request, response) => response.writeHead(status).end(body));
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const args = ['--blocks', '0:1', '--store', url, '--into', join(scratch, 'refused'), '--json'];
    const ended = await calyx('fetch', 'org/tiny', ...args);
    await new Promise((resolve) => server.close(resolve));
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toMatch(new RegExp(`^error: .*(${url}|does not answer as a Calyx store)`));
    expect(ended.stderr).not.toMatch(TRACE);
    expect(await readdir(scratch)).not.toContain('refused');
  });
});

describe('store refuses', () => {
  it.each([
    [['--allow', 'everybody'], 2, "--allow 'everybody' names no addresses"],
    [['--allow', '10.0.0.0/24=acme'], 2, "'acme' is no pattern of models"],
    [['--no-nfs', '--allow', '10.0.0.0/24'], 2, 'do not go with --no-nfs'],
    [['--no-nfs', '--privileged-ports'], 2, 'do not go with --no-nfs'],
    [['--no-nfs', '--nfs-require-tls'], 2, 'do not go with --no-nfs'],
    [['--no-nfs', '--nfs-require-client-cert'], 2, 'do not go with --no-nfs'],
    [['--allow', '10.0.0.0/24'], 2, 'NFS on 127.0.0.1 can be reached from this one alone'],
    [['--nfs', '0.0.0.0:2049'], 1, 'say which may mount, e.g. --allow 10.0.0.0/24'],
  ])('%j', async (args, code, message) => {
    const data = join(scratch, 'refused');
    const ended = await calyx('store', ...args, '--data', data, '--listen', '127.0.0.1:0', '--json');
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).not.toMatch(TRACE);
    expect(ended).toMatchObject({ code, stdout: '' });
    expect(await readdir(scratch)).not.toContain('refused');
  });
});

describe('the command line', () => {
  it('shows its help', async () => {
    const ended = await calyx('--help');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    for (const command of ['inspect', 'add', 'list', 'verify', 'remove', 'store', 'fetch'])
      expect(ended.stdout).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    const one = await calyx('fetch', '--help');
    expect(one.code).toBe(0);
    for (const option of [
      '--blocks',
      '--embed',
      '--head',
      '--store',
      '--into',
      '--budget',
      '--dry-run',
      '--json',
    ])
      expect(one.stdout).toContain(option);
  });

  it('shows its version', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { version: string };
    expect(await calyx('--version')).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it.each([
    [['nonsense'], "unknown command 'nonsense'"],
    [['--nonsense'], "unknown option '--nonsense'"],
  ])('refuses %j', async (args, message) => {
    const ended = await calyx(...args);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).toContain('calyx --help');
  });

  it('writes no colours unless stderr is a terminal', async () => {
    const args = ['fetch', 'org/tiny', '--blocks', '4:4', '--into', join(scratch, 'refused')];
    for (const env of [{}, { NO_COLOR: '1' }]) {
      const { stderr } = await startCalyx(args, env).ended;
      expect(stderr).not.toContain('\u001b');
      expect(stderr).toMatch(/^error: the block range 4:4 is empty\n/);
    }
  });

  it('finds the store in CALYX_STORE', async () => {
    const into = join(scratch, 'by-environment');
    const args = ['fetch', 'org/tiny', '--blocks', '0:1', '--into', into, '--json'];
    expect((await startCalyx(args, { CALYX_STORE: store.url }).ended).code).toBe(0);
  });

  it('prints one object and nothing else with --json', async () => {
    const into = join(scratch, 'one-object');
    const args = ['--store', store.url, '--into', into, '--blocks', '0:1', '--json'];
    const ended = await calyx('fetch', 'org/tiny', ...args);
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(ended.stdout.trimEnd().split('\n')).toHaveLength(1);
    expect(Object.keys(JSON.parse(ended.stdout) as object)).toContain('bytesFetched');
  });

  it('tells people what it did', async () => {
    const into = join(scratch, 'for-people');
    const ended = await calyx(
      ...['fetch', 'org/tiny', '--store', store.url, '--into', into, '--blocks', '0:1'],
    );
    expect(ended.stdout).toMatch(/^org\/tiny@[0-9a-f]{40}: fetched .* chunks\) in .* s; .* takes .*\n$/);
  });
});
