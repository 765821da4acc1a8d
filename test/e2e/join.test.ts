import { mkdir, readFile, stat, writeFile, chmod } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import { calyxJson, startCalyx, start, type Ended } from '../support/cli.js';
import { ROOT, suiteDirectory, testDirectory } from '../support/directories.js';
import { serve } from '../support/blob-server.js';
import { TINY } from '../support/models.js';
import { noCurl } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { testCluster, tokenOf } from '../support/secure-server.js';
import { joinStringOf, secureStore } from '../support/secured-front.js';

const scratch = suiteDirectory();
let store: RunningStore;

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', join(scratch, 'data'));
  store = await startStore(join(scratch, 'data'));
  return async () => {
    await store.stop();
  };
});

/** A user of a machine, with a configuration of its own. */
function newUser(): {
  readonly files: { readonly cluster: string; readonly ca: string };
  readonly run: (args: readonly string[], env?: Readonly<Record<string, string>>) => Promise<Ended>;
} {
  const config = testDirectory();
  const files = { cluster: join(config, 'calyx/cluster.json'), ca: join(config, 'calyx/ca.pem') };
  return { files, run: (args, env = {}) => startCalyx(args, { XDG_CONFIG_HOME: config, ...env }).ended };
}

/** A port where nobody listens. */
async function silentPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const FETCH = ['fetch', 'org/tiny', '--blocks', '0:1', '--json'];

describe('calyx join', () => {
  it('keeps what it needs for its user alone; then no command needs an address', async () => {
    const cluster = await testCluster();
    const front = await secureStore(cluster, store.url);
    const user = newUser();
    const text = joinStringOf(cluster, front.address);
    const joined = await user.run(['join', text]);
    expect(joined).toMatchObject({ code: 0 });
    expect(joined.stdout).toContain(`joined the cluster at ${front.address}`);
    expect(joined.stdout).toContain('tester: role read, models *');
    expect(joined.stderr).toContain(`by ${user.files.ca}: curl --cacert`);
    // The store does not answer the Hub's API, and huggingface_hub would send the token wherever this says.
    expect(joined.stderr).not.toContain('HF_ENDPOINT');
    expect(joined.stdout + joined.stderr).not.toContain(tokenOf(cluster));
    const modes = [user.files.cluster, join(user.files.cluster, '..')].map(
      async (path) => (await stat(path)).mode & 0o777,
    );
    expect(await Promise.all(modes)).toEqual([0o600, 0o700]);
    expect(await readFile(user.files.ca, 'utf8')).toBe(cluster.ca);

    const into = join(testDirectory(), 'slice');
    const fetched = await user.run([...FETCH, '--into', into]);
    expect(fetched).toMatchObject({ code: 0 });
    expect(front.asked.some(({ path }) => path.startsWith('/v1/blobs/'))).toBe(true);
    expect(new Set(front.asked.map(({ authorization }) => authorization))).toEqual(
      new Set([`Bearer ${tokenOf(cluster)}`]),
    );
    // The same store under another of its addresses.
    const other = `https://localhost:${front.url.port}`;
    const again = await user.run([...FETCH, '--store', other, '--into', join(testDirectory(), 'slice')]);
    expect(again).toMatchObject({ code: 0 });
  });

  it('reads it from its input, and says no secret as JSON', async () => {
    const cluster = await testCluster();
    const front = await secureStore(cluster);
    const quiet = await silentPort();
    const config = testDirectory();
    const text = joinStringOf(cluster, `127.0.0.1:${quiet}`, front.address);
    const shell = `printf '%s\\n' "$TEXT" | "${process.execPath}" "${ROOT}/bin/calyx.mjs" join - --json`;
    const env = { PATH: process.env['PATH'], XDG_CONFIG_HOME: config, TEXT: text };
    const ended = await start('sh', ['-c', shell], { env }).ended;
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(ended.stdout)).toMatchObject({
      addresses: [`127.0.0.1:${quiet}`, front.address],
      name: 'tester',
      role: 'read',
      models: '*',
      expiresAt: null,
      silent: [{ address: `127.0.0.1:${quiet}` }],
    });
    expect(ended.stdout).not.toContain(tokenOf(cluster));
  });

  it.runIf(process.platform === 'linux')('does not stay in the list of processes', async () => {
    const cluster = await testCluster();
    // Answers no handshake, so that the command has to wait.
    let seen: () => void = () => undefined;
    const connected = new Promise<void>((resolve) => (seen = resolve));
    const mute = createServer(() => seen());
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    const { port } = mute.address() as AddressInfo;
    const text = joinStringOf(cluster, `127.0.0.1:${port}`);
    const running = startCalyx(['join', text], { XDG_CONFIG_HOME: testDirectory() });
    try {
      await connected;
      const { pid = 0 } = running.child;
      const line = await readFile(`/proc/${pid}/cmdline`, 'latin1');
      expect(line.replaceAll('\0', '')).toBe('calyx join');
      const { stdout } = await start('ps', ['-ww', '-o', 'args=', '-p', String(pid)]).ended;
      expect(stdout.trim()).toBe('calyx join');
    } finally {
      running.child.kill();
      mute.close();
    }
    expect(await running.ended).toMatchObject({ code: 143 });
  });

  it.each([
    ['alone', (wrong: string) => [wrong]],
    ['beside the right one', (wrong: string, right: string) => [right, wrong]],
  ])('sends nothing if another cluster answers, %s', async (_, addresses) => {
    const [cluster, other] = [await testCluster(), await testCluster()];
    const [right, wrong] = [await secureStore(cluster), await secureStore(other)];
    const user = newUser();
    const ended = await user.run(['join', joinStringOf(cluster, ...addresses(wrong.address, right.address))]);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`the server at ${wrong.address} is not a store of this cluster`);
    expect(ended.stderr).toContain('nothing was sent');
    expect(ended.stderr).not.toContain(tokenOf(cluster));
    expect([...right.asked, ...wrong.asked]).toEqual([]);
    await expect(stat(user.files.cluster)).rejects.toThrow('ENOENT');
  });

  it('sends nothing to one that only shows the certificate of the cluster', async () => {
    const [cluster, other] = [await testCluster(), await testCluster()];
    const own = await other.serverTls([]);
    const [leaf] = /-----BEGIN[^]*?-----END CERTIFICATE-----\n/.exec(own.certificate) ?? [];
    const pretender = {
      ...cluster,
      serverTls: () => Promise.resolve({ ...own, certificate: `${leaf ?? ''}${cluster.ca}` }),
    };
    const wrong = await secureStore(pretender);
    const ended = await newUser().run(['join', joinStringOf(cluster, wrong.address)]);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain('is not a store of this cluster');
    expect(wrong.asked).toEqual([]);
  });

  it('shows the token to the writer before all others, and to another store if that is not there', async () => {
    const cluster = await testCluster();
    const { key, request } = await createCertificateRequest();
    const issued = await cluster.issueStore(request, ['127.0.0.1'], 3_600_000);
    const replica = await secureStore({
      ...cluster,
      serverTls: () => Promise.resolve({ key, certificate: issued.certificate, ca: cluster.ca }),
    });
    const writer = await secureStore(cluster);
    const both = await newUser().run(['join', joinStringOf(cluster, replica.address, writer.address)]);
    expect(both).toMatchObject({ code: 0 });
    expect([replica.asked.length, writer.asked.length]).toEqual([0, 1]);
    expect(await newUser().run(['join', joinStringOf(cluster, replica.address)])).toMatchObject({ code: 0 });
    expect(replica.asked).toHaveLength(1);
  });

  it('says that nobody answers, that something else does, and that the token is not good', async () => {
    const cluster = await testCluster();
    const user = newUser();
    const nobody = await user.run(['join', joinStringOf(cluster, `127.0.0.1:${await silentPort()}`)]);
    expect(nobody.code).toBe(1);
    expect(nobody.stderr).toMatch(/no store of the cluster answers: cannot reach 127\.0\.0\.1:\d+: .*ECONNREFUSED/);
    const plain = await serve((_request, response) => response.end('{}'));
    const wrong = await user.run(['join', joinStringOf(cluster, plain.host)]);
    expect(wrong.stderr).toContain(`the server at ${plain.host} does not speak TLS; nothing was sent`);
    const front = await secureStore(cluster);
    const revoked = joinStringOf(cluster, front.address).replace('0123456789ab', 'ffffffffffff');
    const ended = await user.run(['join', revoked]);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('does not accept the token: this token is not known here');
    await expect(stat(user.files.cluster)).rejects.toThrow('ENOENT');
  }); // prettier-ignore

  it.each(['nonsense', 'calyx://a:1/#short', 'calyx://a/#x', ''])('refuses %j', async (text) => {
    const ended = await newUser().run(['join', text]);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('this is not a join string');
  });

  it.skipIf(noCurl !== undefined)('curl knows the store by the certificate that it keeps', async () => {
    const cluster = await testCluster();
    const front = await secureStore(cluster, store.url);
    const user = newUser();
    await user.run(['join', joinStringOf(cluster, front.address)]);
    const args = ['-sf', '--oauth2-bearer', tokenOf(cluster), `${front.url.href}v1/models`];
    const known = await start('curl', args, { env: { ...process.env, CURL_CA_BUNDLE: user.files.ca } }).ended;
    expect(known).toMatchObject({ code: 0 });
    expect(known.stdout).toContain('org/tiny');
    // 60: the certificate cannot be checked with known ones.
    expect(await start('curl', args).ended).toMatchObject({ code: 60 });
  });
});

describe('which stores are asked', () => {
  it('a join string in CALYX_STORE works without being kept, and comes before what was joined', async () => {
    const [first, second] = [await testCluster(), await testCluster()];
    const [old, front] = [await secureStore(first), await secureStore(second, store.url)];
    const user = newUser();
    await user.run(['join', joinStringOf(first, old.address)]);
    const before = old.asked.length;
    const into = join(testDirectory(), 'slice');
    const env = { CALYX_STORE: joinStringOf(second, front.address) };
    expect(await user.run([...FETCH, '--into', into], env)).toMatchObject({ code: 0 });
    expect(old.asked).toHaveLength(before);
    expect(await readFile(user.files.cluster, 'utf8')).toContain(old.address);
    // --store comes before all; at http: no token is told.
    const open = await user.run([...FETCH, '--store', store.url, '--into', join(testDirectory(), 's')], env);
    expect(open).toMatchObject({ code: 0 });
  });

  it('a join string does not belong into --store', async () => {
    const cluster = await testCluster();
    const text = joinStringOf(cluster, '127.0.0.1:7070');
    const ended = await newUser().run([...FETCH, '--into', testDirectory(), '--store', text]);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('calyx join -');
    expect(ended.stderr).not.toContain(tokenOf(cluster));
  });

  it('addresses with TLS and without do not go together: a token would go to who listens there', async () => {
    const mixed = 'https://127.0.0.1:1,http://127.0.0.1:2';
    const ended = await newUser().run([...FETCH, '--into', testDirectory(), '--store', mixed]);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('do not go together');
  });

  it('https: without a cluster says how to join one', async () => {
    const ended = await newUser().run([
      ...FETCH,
      '--into',
      testDirectory(),
      '--store',
      'https://127.0.0.1:9',
    ]);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain('calyx join STRING');
  });

  it('a cluster.json that others may read, or that is damaged, is not used; leave forgets it', async () => {
    const cluster = await testCluster();
    const front = await secureStore(cluster, store.url);
    const user = newUser();
    await user.run(['join', joinStringOf(cluster, front.address)]);
    const asked = front.asked.length;
    await chmod(user.files.cluster, 0o644);
    const open = await user.run([...FETCH, '--into', testDirectory()]);
    expect(open).toMatchObject({ code: 1, stdout: '' });
    expect(open.stderr).toContain(`others may read ${user.files.cluster} (mode 0644)`);
    await chmod(user.files.cluster, 0o600);
    const kept = JSON.parse(await readFile(user.files.cluster, 'utf8')) as object;
    const other = await testCluster();
    for (const damage of [{ ...kept, more: 1 }, { ...kept, ca: other.ca }, { ...kept, addresses: ['a/b:1'] }, 'x']) {
      await writeFile(user.files.cluster, JSON.stringify(damage));
      const ended = await user.run([...FETCH, '--into', testDirectory()]);
      expect(ended).toMatchObject({ code: 1, stdout: '' });
      expect(ended.stderr).toMatch(/cluster\.json is damaged.*\n.*calyx leave/);
      expect(ended.stderr).not.toContain(tokenOf(cluster));
    }
    expect(front.asked).toHaveLength(asked);
    expect(await user.run(['leave', '--json'])).toMatchObject({ code: 0, stdout: '{"left":true}\n' });
    for (const path of [user.files.cluster, user.files.ca]) await expect(stat(path)).rejects.toThrow('ENOENT');
    expect(await user.run(['leave'])).toMatchObject({ code: 0, stdout: 'no cluster was joined\n' });
  }); // prettier-ignore

  it('joining again takes the place of what was joined, also in a directory that was there', async () => {
    const [first, second] = [await testCluster(), await testCluster()];
    const [a, b] = [await secureStore(first), await secureStore(second)];
    const user = newUser();
    await mkdir(join(user.files.cluster, '..'), { mode: 0o755 });
    await user.run(['join', joinStringOf(first, a.address)]);
    expect(await user.run(['join', joinStringOf(second, b.address)])).toMatchObject({ code: 0 });
    expect(await readFile(user.files.ca, 'utf8')).toBe(second.ca);
    expect(JSON.parse(await readFile(user.files.cluster, 'utf8'))).toMatchObject({ addresses: [b.address] });
    expect((await stat(user.files.cluster)).mode & 0o777).toBe(0o600);
  });
});
