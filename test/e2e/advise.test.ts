import { readdirSync, readFileSync, statSync, writeFileSync, mkdirSync, chmodSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { startStore, type RunningStore } from '../support/running-store.js';

interface Result {
  readonly trial: { readonly version: string };
  readonly rounds: readonly number[];
}

describe('calyx advise', () => {
  const data = join(suiteDirectory(), 'data');
  let store: RunningStore;
  let nfs: string;

  beforeAll(async () => {
    const added = await calyx('add', TINY, '--name', 'acme/tiny', '--data', data);
    expect(added.code, added.stderr).toBe(0);
    const port = await freePort();
    nfs = `127.0.0.1:${port}`;
    store = await startStore(data, { nfs });
  });
  afterAll(async () => {
    await store.stop();
  });

  it('measures and recommends, with what it may do here', async () => {
    const advised = await calyxJson('advise', '--nfs', nfs, '--seconds', '1');
    const { file, results } = advised['measurements'] as {
      readonly file: { readonly bytes: number };
      readonly results: readonly Result[];
    };
    // The largest file of the model in the repository.
    expect(file.bytes).toBe(statSync(join(TINY, 'model-00001-of-00004.safetensors')).size);
    expect(results.length).toBeGreaterThanOrEqual(2);
    for (const { rounds } of results) for (const speed of rounds) expect(speed).toBeGreaterThan(0);
    expect(advised['store']).toEqual({
      versions: { '3': 'yes', '4.1': 'yes', '4.2': 'yes' },
      privilegedPorts: 'no',
      tls: 'offered',
    });
    expect(advised['link']).toMatchObject({ address: '127.0.0.1', interface: 'lo', loopback: true });
    const { commands } = advised['advice'] as { readonly commands: readonly string[] };
    expect(commands[1]).toMatch(
      /^mount -t nfs -o ro,vers=(3|4\.1|4\.2),proto=tcp,port=\d+,.* 127\.0\.0\.1:\/ \/mnt\/calyx$/,
    );
  });

  it('shows and writes fstab, and leaves all else in it alone', async () => {
    const root = testDirectory();
    mkdirSync(join(root, 'etc'));
    const before = 'UUID=1 / ext4 defaults 0 1\n';
    writeFileSync(join(root, 'etc/fstab'), before);
    chmodSync(join(root, 'etc/fstab'), 0o640);
    const apply = ['--nfs', nfs, '--seconds', '1', '--apply', 'fstab', '--yes', '--root', root];
    const first = await calyx('advise', ...apply);
    expect(first.code, first.stderr).toBe(0);
    const after = readFileSync(join(root, 'etc/fstab'), 'utf8');
    expect(after.startsWith(before)).toBe(true);
    expect(after).toMatch(/\n127\.0\.0\.1:\/ \/mnt\/calyx nfs ro,vers=.*,_netdev,nofail 0 0\n$/);
    expect(statSync(join(root, 'etc/fstab')).mode & 0o777).toBe(0o640);
    expect(first.stdout).toContain(`+${after.trimEnd().split('\n').at(-1) ?? ''}`);
    expect(readdirSync(join(root, 'etc')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    expect(readdirSync(join(root, 'etc/udev/rules.d'))).toEqual(['99-zz-calyx-mnt-calyx.rules']);
    // Again: the line may differ by what was measured, but there is one.
    expect((await calyx('advise', ...apply)).code).toBe(0);
    const lines = readFileSync(join(root, 'etc/fstab'), 'utf8').split('\n');
    expect(lines.filter((line) => line.includes('/mnt/calyx'))).toHaveLength(1);
  });

  it('refuses a mount point that is taken, and writes nothing then', async () => {
    const root = testDirectory();
    mkdirSync(join(root, 'etc'));
    const fstab = 'other:/ /mnt/calyx nfs ro 0 0\n';
    writeFileSync(join(root, 'etc/fstab'), fstab);
    for (const kind of ['fstab', 'systemd']) {
      const apply = ['--seconds', '1', '--apply', kind, '--yes', '--root', root];
      const ended = await calyx('advise', '--nfs', nfs, ...apply);
      expect(ended.code).toBe(1);
      expect(ended.stderr).toContain('/mnt/calyx');
      expect(readFileSync(join(root, 'etc/fstab'), 'utf8')).toBe(fstab);
      expect(readdirSync(join(root, 'etc'))).toEqual(['fstab']);
    }
  });

  it.each([
    [['--nfs', 'a:b:c/d'], 'is not the address of a store'],
    [['--nfs', 'host', '--path', 'models'], 'is not a directory of a store'],
    [['--nfs', 'host', '--mount-point', 'mnt'], 'is not an absolute path'],
    [['--nfs', 'host', '--mount-point', '/'], 'would hide this system'],
    [['--nfs', 'host', '--apply', 'fstab'], '--yes'],
  ])('%j is wrong usage', async (args, says) => {
    const ended = await calyx('advise', ...args);
    expect(ended).toMatchObject({ code: 2, stdout: '' });
    expect(ended.stderr).toContain(says);
  });

  it('tells what to check where the store does not answer as one', async () => {
    const missing = await calyx('advise', '--nfs', nfs, '--path', '/models/acme/none');
    expect(missing.code).toBe(1);
    expect(missing.stderr).toContain('/models/acme/none: no such file or directory');
    const http = await calyx('advise', '--nfs', `127.0.0.1:${store.port}`);
    expect(http.code).toBe(1);
    expect(http.stderr).toContain(`127.0.0.1:${store.port}`);
    const mute = createServer(() => undefined).listen(0, '127.0.0.1');
    await new Promise((resolve) => mute.once('listening', resolve));
    const { port } = mute.address() as AddressInfo;
    const silent = await calyx('advise', '--nfs', `127.0.0.1:${port}`);
    mute.close();
    expect(silent.code).toBe(1);
    expect(silent.stderr).toContain(`127.0.0.1:${port}`);
    expect(silent.stderr).toContain('within 5 s');
  });
});

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
