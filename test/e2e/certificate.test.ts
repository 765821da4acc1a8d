import { createPrivateKey, X509Certificate } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { calyxJson, start, startCalyx, type Ended, type Running } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { noOpenssl, openssl } from '../support/openssl.js';
import { noCurl } from '../support/outside-tools.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const HOUR_MS = 3_600_000;
const scratch = suiteDirectory();
const [data, otherData] = ['data', 'other'].map((name) => join(scratch, name)) as [string, string];
let stores: readonly RunningStore[] = [];

beforeAll(async () => {
  stores = await Promise.all([data, otherData].map((each) => startStore(each, { args: ['--tls'] })));
});
afterAll(() => Promise.all(stores.map((store) => store.stop())));

/** A user who has joined, and where that user's certificate is to be. */
class User {
  readonly #config = testDirectory();
  readonly out = join(testDirectory(), 'pki');

  start(...args: string[]): Running {
    return startCalyx(args, { XDG_CONFIG_HOME: this.#config });
  }

  run(...args: string[]): Promise<Ended> {
    return this.start(...args).ended;
  }

  /** Joins with a token that is made for it, whose id is returned. */
  async join(of: string, ...options: string[]): Promise<string> {
    const made = await calyxJson('token', 'create', '--data', of, ...options);
    const ended = await this.run('join', String(made['join']));
    if (ended.code !== 0) throw new Error(ended.stderr);
    return String(made['id']);
  }

  async obtain(...options: string[]): Promise<Record<string, unknown>> {
    const ended = await this.run('certificate', '--out', this.out, '--json', ...options);
    if (ended.code !== 0) throw new Error(ended.stderr);
    return JSON.parse(ended.stdout) as Record<string, unknown>;
  }

  read(name: string): Promise<string> {
    return readFile(join(this.out, name), 'utf8');
  }

  mode(name: string): Promise<string> {
    return stat(join(this.out, name)).then(({ mode }) => (mode & 0o777).toString(8));
  }

  /** What openssl makes of the certificate. */
  verify(purpose: string): { readonly ok: boolean; readonly text: string } {
    return openssl(this.out, 'verify', '-CAfile', 'ca.pem', '-purpose', purpose, 'certificate.pem');
  }
}

async function joined(of: string, ...options: string[]): Promise<User> {
  const user = new User();
  await user.join(of, ...options);
  return user;
}

describe.skipIf(noOpenssl !== undefined)('calyx certificate, as openssl sees it', () => {
  it('is one of a client, for the key beside it, which only its owner reads', async () => {
    const user = await joined(data, '--models', 'acme/*', '--name', 'reader');
    const began = Date.now();
    const { expiresAt, ...told } = await user.obtain();
    const files = Object.fromEntries(
      ['ca', 'certificate', 'key'].map((name) => [name, join(user.out, `${name}.pem`)]),
    );
    expect(told).toEqual({ directory: user.out, files, name: 'reader', role: 'read', models: 'acme/*' });
    expect((await readdir(user.out)).sort()).toEqual(['ca.pem', 'certificate.pem', 'key.pem']);
    for (const [name, mode] of Object.entries({
      'key.pem': '600',
      'certificate.pem': '644',
      'ca.pem': '644',
    }))
      expect(await user.mode(name)).toBe(mode);
    expect(user.verify('sslclient')).toEqual({ ok: true, text: 'certificate.pem: OK\n' });
    expect(user.verify('sslserver').ok).toBe(false);
    const [ofKey, ofCertificate] = [
      openssl(user.out, 'pkey', '-in', 'key.pem', '-pubout'),
      openssl(user.out, 'x509', '-in', 'certificate.pem', '-noout', '-pubkey'),
    ];
    expect(ofKey.text).toMatch(/^-----BEGIN PUBLIC KEY/);
    expect(ofCertificate).toEqual(ofKey);
    const { validTo } = new X509Certificate(await user.read('certificate.pem'));
    expect(Date.parse(validTo)).toBe(expiresAt);
    expect(Math.abs(Date.parse(validTo) - began - 24 * HOUR_MS)).toBeLessThan(60_000);
  });

  it('is one of a server too for the holder of a token for nodes', async () => {
    const user = await joined(data, '--role', 'node');
    await user.obtain('--lifetime', '1h');
    expect([user.verify('sslclient').ok, user.verify('sslserver').ok]).toEqual([true, true]);
  });

  it('is renewed for the same key, and whoever reads meanwhile finds what fits', async () => {
    const user = await joined(data);
    await user.obtain('--lifetime', '1h');
    const before = await Promise.all(['key.pem', 'certificate.pem', 'ca.pem'].map((name) => user.read(name)));
    let renewing = true;
    const renewals = (async () => {
      // At the same time, as a timer and somebody by hand.
      for (let round = 0; round < 2; round += 1) await Promise.all([user.obtain(), user.obtain()]);
      renewing = false;
    })();
    const seen = new Set<string>();
    while (renewing) {
      const certificate = await user.read('certificate.pem');
      seen.add(certificate);
      expect(
        new X509Certificate(certificate).checkPrivateKey(createPrivateKey(await user.read('key.pem'))),
      ).toBe(true);
      await new Promise(setImmediate);
    }
    await renewals;
    const after = await Promise.all(['key.pem', 'certificate.pem', 'ca.pem'].map((name) => user.read(name)));
    expect(after.map((text, index) => text === before[index])).toEqual([true, false, true]);
    expect(seen.size).toBeGreaterThan(1);
    expect(user.verify('sslclient').ok).toBe(true);
    expect((await readdir(user.out)).length).toBe(3);
  });

  it('is of the cluster that was joined last', async () => {
    const user = await joined(data);
    await user.obtain();
    const ca = await user.read('ca.pem');
    await user.join(otherData);
    await user.obtain();
    expect(await user.read('ca.pem')).not.toBe(ca);
    expect(user.verify('sslclient').ok).toBe(true);
  });

  it('makes one key if two begin at the same time', async () => {
    const user = await joined(data);
    await Promise.all([user.obtain(), user.obtain()]);
    const certificate = new X509Certificate(await user.read('certificate.pem'));
    expect(certificate.checkPrivateKey(createPrivateKey(await user.read('key.pem')))).toBe(true);
    expect((await readdir(user.out)).length).toBe(3);
  });

  it('lives no longer than the token', async () => {
    const user = await joined(data, '--expires', '2h');
    const { expiresAt } = await user.obtain();
    expect(Math.abs(Number(expiresAt) - Date.now() - 2 * HOUR_MS)).toBeLessThan(60_000);
  });
});

describe.skipIf(noCurl !== undefined)('calyx certificate, for curl', () => {
  it('opens a node, which otherwise answers nobody, and tells that it is one', async () => {
    await calyxJson('add', TINY, '--name', 'acme/tiny', '--data', data);
    const user = await joined(data, '--role', 'node');
    await user.obtain();
    const node = user.start(
      'node',
      '--model',
      'acme/tiny',
      '--blocks',
      '4:5',
      '--data',
      testDirectory(),
      '--json',
    );
    onTestFinished(async () => {
      node.child.kill();
      await node.ended;
    });
    const port = await new Promise<string>((resolve, reject) => {
      let said = '';
      node.child.stdout?.on('data', (text: string) => {
        said += text;
        const found = /"listening".*"url":"https:\/\/127\.0\.0\.1:(\d+)/.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      node.ended.then((ended) => reject(new Error(JSON.stringify(ended))), reject);
    });
    const statusOf = async (...more: readonly string[]): Promise<string> => {
      const name = `node.calyx.internal:${port}`;
      const where = ['--cacert', join(user.out, 'ca.pem'), '--resolve', `${name}:127.0.0.1`];
      const how = ['--silent', '--output', '/dev/null', '--write-out', '%{http_code}'];
      return (await start('curl', [...how, ...where, ...more, `https://${name}/metrics`]).ended).stdout;
    };
    const own = ['--cert', join(user.out, 'certificate.pem'), '--key', join(user.out, 'key.pem')];
    expect(await statusOf()).toBe('401');
    expect(await statusOf(...own)).toBe('200');
  });
});

describe('calyx certificate', () => {
  it('says what tlshd and a timer need', async () => {
    const user = await joined(data);
    const { code, stdout, stderr } = await user.run('certificate', '--out', user.out, '--lifetime', '6h');
    expect(code).toBe(0);
    expect(stdout).toMatch(/certificate\.pem: good until \d{4}-.*Z\nas .*: role read, models \*\n$/);
    expect(stderr).toContain(`
  [authenticate.client]
  x509.truststore=${user.out}/ca.pem
  x509.certificate=${user.out}/certificate.pem
  x509.private_key=${user.out}/key.pem
`);
    expect(stderr).toMatch(/\n {2}ExecStart=\S*node\S* \S+ certificate --out \S+pki --lifetime 6h\n/);
    expect(stderr).toMatch(/\n {2}OnUnitActiveSec=1(?:19|20)min\n/);
    expect(stdout + stderr).not.toContain('calyx1.');
  });

  it('says that nothing was joined', async () => {
    const user = new User();
    const { code, stderr } = await user.run('certificate', '--out', user.out);
    expect(code).toBe(2);
    expect(stderr).toContain('none was joined');
    expect(stderr).toContain("run 'calyx join'");
  });

  it('refuses lifetimes that no store gives', async () => {
    const user = await joined(data);
    for (const lifetime of ['30s', '2d']) {
      const { code, stderr } = await user.run('certificate', '--out', user.out, '--lifetime', lifetime);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringContaining('from 1m to 24h') as string,
      });
    }
  });

  it('keeps what it has when its token was revoked, and says so', async () => {
    const user = new User();
    const id = await user.join(data);
    await user.obtain();
    const before = await user.read('certificate.pem');
    await calyxJson('token', 'revoke', id, '--data', data);
    const { code, stderr } = await user.run('certificate', '--out', user.out);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringMatching(/token.*revoked/) as string });
    expect(await user.read('certificate.pem')).toBe(before);
  });

  it.each([
    ['ca.pem', 'no key.pem beside it'],
    ['certificate.pem', 'its key is not in key.pem'],
    ['key.pem', 'it is no key'],
  ])('does not replace a %s that is not its own', async (name, why) => {
    const user = await joined(data);
    await mkdir(user.out);
    await writeFile(join(user.out, name), 'precious\n', { mode: 0o600 });
    const { code, stderr } = await user.run('certificate', '--out', user.out);
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining(why) as string });
    expect(await readdir(user.out)).toEqual([name]);
    expect(await user.read(name)).toBe('precious\n');
  });

  it('does not use a key that others may have read', async () => {
    const user = await joined(data);
    await user.obtain();
    await chmod(join(user.out, 'key.pem'), 0o640);
    const { code, stderr } = await user.run('certificate', '--out', user.out);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining('key.pem (mode 0640)') as string,
    });
  });
});
