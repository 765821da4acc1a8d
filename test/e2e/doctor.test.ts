import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Finding } from '../../src/app/doctor/finding.js';
import type { ClusterIdentity } from '../../src/cluster/identity/cluster-identity.js';
import { serve } from '../support/blob-server.js';
import { calyxJson, cleanEnvironment, start, type Ended } from '../support/cli.js';
import { ROOT, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { secureStore } from '../support/secured-front.js';
import { serveSecurely, testCluster, tokenOf } from '../support/secure-server.js';

/** What the doctor said. */
interface Diagnosis {
  readonly ended: Ended;
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  /** What is not as it should be, without what depends on the machine that runs the test. */
  readonly bad: readonly Finding[];
}

/** A user of a machine, with a home of its own. */
class User {
  readonly home = testDirectory();
  readonly env = {
    XDG_CONFIG_HOME: join(this.home, 'config'),
    XDG_DATA_HOME: join(this.home, 'share'),
    XDG_CACHE_HOME: join(this.home, 'cache'),
  };

  run(args: readonly string[], options: { readonly uid?: number; readonly env?: object } = {}): Promise<Ended> {
    const clean = Object.entries(cleanEnvironment(this.env)).filter(([name]) => !/^NODE_|_PROXY$/i.test(name));
    const { uid, env } = options;
    return start(process.execPath, [join(ROOT, 'bin/calyx.mjs'), ...args], {
      env: { ...Object.fromEntries(clean), ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    }).ended;
  }

  async doctor(args: readonly string[] = [], options: Parameters<User['run']>[1] = {}): Promise<Diagnosis> {
    const ended = await this.run(['doctor', '--json', ...args], options);
    const said = JSON.parse(ended.stdout) as Pick<Diagnosis, 'ok' | 'findings'>;
    const bad = said.findings.filter(
      ({ severity, check }) => ['warning', 'problem'].includes(severity) && !/disk$/.test(check),
    );
    expect(ended.code).toBe(said.ok ? 0 : 1);
    return { ended, ...said, bad };
  }

  /** As `calyx join` does, for stores that could not be joined now. */
  keep(cluster: ClusterIdentity, ...addresses: string[]): void {
    const directory = join(this.env.XDG_CONFIG_HOME, 'calyx');
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const kept = { version: 1, addresses, ca: cluster.ca, token: tokenOf(cluster) };
    writeFileSync(join(directory, 'cluster.json'), JSON.stringify(kept), { mode: 0o600 });
  }
} // prettier-ignore

async function newStore(options: Parameters<typeof startStore>[1] = {}): Promise<RunningStore & { data: string }> {
  const data = join(testDirectory(), 'data');
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  const store = await startStore(data, options);
  onTestFinished(async () => {
    await store.stop('SIGKILL');
  });
  return { ...store, data };
} // prettier-ignore

/** Everything below a directory, with what would show a change; the log of the store that is asked grows. */
function fingerprintOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.endsWith('audit.log'))
    .sort()
    .map((name) => {
      const { mode, size, mtimeMs, ino } = statSync(join(directory, name));
      return `${name} ${mode} ${size} ${mtimeMs} ${ino}`;
    });
}

/** Of the user nobody, who may not look at what we own; who is not root locks himself out instead. */
const NOBODY = 65_534;

describe('calyx doctor', () => {
  it('finds nothing against a healthy store and a machine that joined it, and changes nothing', async () => {
    const store = await newStore({ args: ['--tls'] });
    const user = new User();
    const { join: line } = await calyxJson('token', 'create', '--role', 'node', '--expires', '30d', '--data', store.data);
    expect(await user.run(['join', String(line)])).toMatchObject({ code: 0 });
    const before = fingerprintOf(store.data);
    const { ended, ok, findings, bad } = await user.doctor(['--data', store.data]);
    expect({ ok, bad, stderr: ended.stderr }).toEqual({ ok: true, bad: [], stderr: '' });
    expect(fingerprintOf(store.data)).toEqual(before);
    const fine = findings.filter(({ severity }) => severity === 'ok').map(({ area, check }) => `${area} ${check}`);
    for (const check of ['node.js', 'clock', 'joined cluster', 'stores', 'token', 'version', 'environment'])
      expect(fine).toContain(`machine ${check}`);
    for (const check of ['files', 'identity', 'running', 'listeners', 'tokens', 'audit log', 'refs'])
      expect(fine).toContain(`store ${check}`);
    const token = findings.find(({ check }) => check === 'token')?.message;
    expect(token).toMatch(/role node, models \*\) is good until \d{4}-\d\d-\d\d/);
    const secret = /#calyx1\.\w+\.([\w-]{43})/.exec(String(line))?.[1];
    expect(secret).toHaveLength(43);
    expect(ended.stdout).not.toContain(secret);

    const people = await user.run(['doctor', '--data', store.data], { env: { NODE_TLS_REJECT_UNAUTHORIZED: '0' } });
    expect(people).toMatchObject({ code: 1 });
    expect(people.stdout).toMatch(/^ {2}ok {7}stores {10}https:\S+ answers, and has proven/m);
    expect(people.stdout).toMatch(/^ {2}problem {2}environment .*NODE_TLS_REJECT_UNAUTHORIZED=0.*\n *-> unset /m);
    // Neither colours nor anything else that a file should not hold.
    expect(people.stdout).not.toContain('\u001b');
    expect(people.stdout).not.toContain(secret);
  });

  it('names a revoked token, files that others may read, and a damaged ref, each with what mends it', async () => {
    const store = await newStore({ args: ['--tls'] });
    const user = new User();
    const { join: line, id } = await calyxJson('token', 'create', '--data', store.data);
    expect(await user.run(['join', String(line)])).toMatchObject({ code: 0 });
    await calyxJson('token', 'revoke', String(id), '--data', store.data);
    const identity = join(store.data, '.calyx/cluster/identity.pem');
    chmodSync(identity, 0o644);
    chmodSync(store.data, 0o777);
    const joined = join(user.env.XDG_CONFIG_HOME, 'calyx/ca.pem');
    chmodSync(joined, 0o666);
    const ref = join(store.data, '.calyx/refs/models--org--tiny/main.json');
    writeFileSync(ref, '{');
    const { bad, findings } = await user.doctor(['--data', store.data]);
    expect(bad).toMatchObject([
      { check: 'joined cluster', severity: 'problem', wayOut: expect.stringContaining(`chmod 644 ${joined}`) as string },
      {
        check: 'token',
        severity: 'problem',
        message: expect.stringContaining('does not accept the token: this token was revoked') as string,
        wayOut: expect.stringContaining('calyx token create') as string,
      },
      { area: 'store', check: 'files', severity: 'problem', wayOut: expect.stringContaining(`chmod 600 ${identity}`) as string },
      { check: 'refs', severity: 'problem', message: expect.stringContaining(ref) as string },
    ]);
    const disk = findings.find(({ area, check, severity }) => area === 'store' && check === 'disk' && severity === 'problem');
    expect(disk?.wayOut).toContain(`chmod o-w ${store.data}`);
  });

  it('names a store that is open to others, by HTTP and by NFS', async () => {
    const args = ['--insecure', '--allow', '0.0.0.0/0'];
    const store = await newStore({ listen: '0.0.0.0:0', nfs: '0.0.0.0:0', args });
    const { bad } = await new User().doctor(['--data', store.data, '--store', `http://127.0.0.1:${store.port}`]);
    expect(bad).toMatchObject([
      { check: 'listeners', severity: 'problem', wayOut: expect.stringContaining('without --insecure') as string },
      { check: 'listeners', severity: 'problem', message: expect.stringContaining('--allow 0.0.0.0/0') as string },
      { check: 'listeners', severity: 'warning', wayOut: expect.stringContaining('--nfs-require-tls') as string },
    ]);
  });

  it('leaves the sockets of a store that was killed, and warns of refs that nobody signed', async () => {
    const data = join(testDirectory(), 'data');
    const store = await startStore(data);
    await store.stop('SIGKILL');
    await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
    const killed = await startStore(data);
    await killed.stop('SIGKILL');
    const sockets = readdirSync(join(data, '.calyx/owners'));
    expect(sockets).toHaveLength(1);
    const ref = join(data, '.calyx/refs/models--org--tiny/main.json');
    const { signature, ...unsigned } = JSON.parse(readFileSync(ref, 'utf8')) as Record<string, unknown>;
    expect(signature).toBeTypeOf('string');
    writeFileSync(ref, JSON.stringify(unsigned));
    const { bad, findings } = await new User().doctor(['--data', data]);
    expect(bad).toMatchObject([
      { check: 'refs', severity: 'warning', message: expect.stringContaining('org/tiny@main') as string },
    ]);
    expect(findings.find(({ check }) => check === 'running')?.message).toBe(`no store runs on ${data}`);
    expect(readdirSync(join(data, '.calyx/owners'))).toEqual(sockets);
  });

  it('tells another user what could not be looked at', async () => {
    const store = await newStore();
    const user = new User();
    for (const path of [join(store.data, '..'), user.home]) chmodSync(path, 0o755);
    const cluster = join(store.data, '.calyx/cluster');
    const root = process.getuid?.() === 0;
    if (!root) chmodSync(cluster, 0);
    onTestFinished(() => chmodSync(cluster, 0o700));
    const { findings, bad } = await user.doctor(['--data', store.data], root ? { uid: NOBODY } : {});
    expect(bad).toEqual([]);
    for (const check of ['files', 'identity', 'running', 'tokens', 'audit log'])
      expect(findings.find((finding) => finding.area === 'store' && finding.check === check)).toMatchObject({
        severity: 'note',
        message: expect.stringContaining('permission denied') as string,
      });
  });

  it('says that there is no store where one was named', async () => {
    const user = new User();
    const none = join(user.home, 'none');
    const { bad } = await user.doctor(['--data', none]);
    expect(bad).toMatchObject([{ area: 'store', severity: 'problem', message: expect.stringContaining(none) as string }]);
    expect(await user.doctor()).toMatchObject({ ok: true });
    expect(await user.run(['doctor', '--store', 'nonsense'])).toMatchObject({ code: 2 });
  });
}); // prettier-ignore

describe('the stages at which an address can fail', () => {
  it('a certificate that is over, while both clocks agree', async () => {
    const HUNDRED_DAYS = 100 * 86_400_000;
    const cluster = await testCluster(() => Date.now() - HUNDRED_DAYS);
    const front = await secureStore(cluster);
    const user = new User();
    user.keep(cluster, front.address);
    const { bad, findings } = await user.doctor();
    expect(bad).toMatchObject([
      {
        check: 'clock',
        message: expect.stringMatching(/the certificate of the store at \S+ ended at .*, 10 days ago/) as string,
        wayOut: expect.stringContaining('start the store again') as string,
      },
      { check: 'stores', message: expect.stringContaining('its certificate is over') as string },
    ]);
    expect(findings).toContainEqual(
      expect.objectContaining({ severity: 'ok', message: `the clock agrees with that of https://${front.address}` }),
    );
    expect(front.asked.map(({ authorization }) => authorization)).toEqual([undefined]);
  });

  it('a clock that is an hour off', async () => {
    const cluster = await testCluster();
    const url = await serveSecurely(cluster, (_request, response) => {
      response.setHeader('date', new Date(Date.now() + 3_600_000).toUTCString());
      response.end(JSON.stringify({ name: 'me', role: 'read', models: '*', token: '0123456789ab', version: '0.0.1' }));
    });
    const user = new User();
    user.keep(cluster, url.host);
    const { ok, bad } = await user.doctor();
    expect(ok).toBe(true);
    expect(bad).toMatchObject([
      {
        check: 'clock',
        severity: 'warning',
        message: expect.stringMatching(/this clock is (59 min|60 min) \d+ s behind that of https/) as string,
        wayOut: expect.stringContaining('timedatectl') as string,
      },
      { check: 'version', severity: 'warning', message: expect.stringContaining('runs Calyx 0.0.1') as string },
    ]);
  });

  it('another identity, to which nothing is said', async () => {
    const [cluster, other] = [await testCluster(), await testCluster()];
    const front = await secureStore(other);
    const user = new User();
    user.keep(cluster, front.address);
    const { bad } = await user.doctor();
    expect(bad).toMatchObject([
      { check: 'stores', message: expect.stringContaining('another identity') as string, wayOut: expect.any(String) as string },
    ]);
    // A join string says the same by the fingerprint alone.
    const pasted = { CALYX_STORE: `calyx://${front.address}/#${tokenOf(cluster)}` };
    const again = await new User().doctor([], { env: pasted });
    expect(again.bad).toMatchObject([{ check: 'stores', message: expect.stringContaining('another identity') as string }]);
    expect(again.ended.stdout).not.toContain(tokenOf(cluster));
    expect(front.asked).toEqual([]);
  });

  it('a token that others may read, which is not used', async () => {
    const cluster = await testCluster();
    const front = await secureStore(cluster);
    const user = new User();
    user.keep(cluster, front.address);
    const kept = join(user.env.XDG_CONFIG_HOME, 'calyx/cluster.json');
    chmodSync(kept, 0o644);
    const { bad, findings } = await user.doctor();
    expect(bad).toMatchObject([
      { check: 'joined cluster', wayOut: expect.stringContaining(`chmod 600 ${kept}`) as string },
    ]);
    expect(findings.find(({ check }) => check === 'stores')?.message).toContain('not used until it is mended');
    expect(front.asked).toEqual([]);
  });

  it('nobody, no answer, and no TLS', async () => {
    const cluster = await testCluster();
    const mute = createServer();
    await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void mute.close());
    const silent = `127.0.0.1:${(mute.address() as AddressInfo).port}`;
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const nobody = `127.0.0.1:${(gone.address() as AddressInfo).port}`;
    await new Promise((resolve) => gone.close(resolve));
    const plain = await serve((_request, response) => response.end('{}'));
    const user = new User();
    user.keep(cluster, nobody, silent, plain.host);
    const began = performance.now();
    const { bad } = await user.doctor();
    // Three seconds are waited; the rest is for a busy machine.
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(bad.map(({ check, message }) => [check, message])).toEqual([
      ['stores', expect.stringMatching(`https://${nobody}: .*nothing listens on this port.*ECONNREFUSED`)],
      ['stores', expect.stringMatching(`https://${silent}: it does not answer in time`)],
      ['stores', expect.stringMatching(`https://${plain.host}: what listens there does not speak TLS`)],
    ]);
    const open = await new User().doctor(['--store', `http://${(await secureStore(cluster)).address}`]);
    expect(open.bad).toMatchObject([{ check: 'stores', message: expect.stringContaining('speak TLS') as string }]);
  });
}); // prettier-ignore
