import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { TlsSettings } from '../../src/core/access.js';
import { calyxJson } from '../support/cli.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { sha256Of } from '../support/guest/expected-views.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  mountCommand,
  pythonCommand,
  suiteMemoryDirectory,
  type NfsVersion,
} from '../support/guest/mounted-store.js';
import { createNetwork, HOST_ADDRESS, type GuestNetwork } from '../support/guest/network.js';
import { recordWire, startTlsStore, type TlsStore } from '../support/guest/tls-store.js';
import { startTlshd, tlshdLog, type TlsIdentity } from '../support/guest/tlshd.js';
import { WatchedReaders } from '../support/guest/watched-readers.js';
import { writeRandomModel } from '../support/models.js';
import { clientExtensions, testAuthority, type TestAuthority } from '../support/openssl-pki.js';

const MIB = 1024 * 1024;
const SHARD = 'model-00001-of-00001.safetensors';
const FILE = `models/acme/one/${SHARD}`;
const RECORDED_PORT = 2050;
/** So long may a client go on whose right to read was taken away. */
const REVOKED_MS = 2000;

const VERSIONS: readonly NfsVersion[] = ['4.2', '4.1', '3'];
const SERVED = {
  grants: { first: 'acme/*', second: 'acme/*' },
  allow: ['10.97.0.0/24'],
  requireTls: false,
  requireClientCertificate: false,
};
const TLS_ONLY = { ...SERVED, requireTls: true };
/** Who comes in is then said by certificates alone. */
const CERTIFICATES_ONLY = { ...TLS_ONLY, allow: [], requireClientCertificate: true };

const root = suiteMemoryDirectory(256 * MIB);
const data = join(root, 'data');
const source = join(root, 'source');

// Of Linux clients, 6.5 is the first that knows xprtsec; the guests of other tests have 6.1.
describe.skipIf(guestUnavailable('6.12') !== undefined)("Linux's NFS client over TLS, with tlshd", () => {
  let authority: TestAuthority;
  let tls: TlsSettings;
  let member: TlsIdentity;
  let network: GuestNetwork;
  let guest: Guest;
  let store: TlsStore;
  let digest: string;

  const clientNamed = (name: string): TlsIdentity => ({
    ca: authority.ca,
    client: authority.issue(name, clientExtensions(`calyx://grant/${name}`)),
  });
  const serve = async (how: typeof SERVED): Promise<void> => {
    await store.kill();
    store = await startTlsStore(network, { data, tls, ...how });
  };
  const mount = (version: NfsVersion, xprtsec: string) => mountCommand(version, { options: `ro,${xprtsec}` });
  const digestOf = async (path: string) => (await guest.sh(`sha256sum ${path}`)).split(' ')[0];

  beforeAll(async () => {
    authority = testAuthority('the cluster');
    const extensions = `subjectAltName=IP:${HOST_ADDRESS}\nextendedKeyUsage=serverAuth`;
    tls = { ...authority.issue('store', extensions), ca: authority.ca };
    member = clientNamed('first');
    await writeRandomModel(source, { blocks: 3, matrixBytes: 4 * MIB, shards: 1, seed: 9 });
    digest = sha256Of(await readFile(join(source, SHARD)));
    await calyxJson('add', source, '--name', 'acme/one', '--data', data);
    await calyxJson('add', source, '--name', 'other/two', '--data', data);
    network = await createNetwork({ guests: 1 });
    [guest, store] = await Promise.all([
      startGuest(network, { kernel: '6.12' }),
      startTlsStore(network, { data, tls, ...SERVED }),
    ]);
    await startTlshd(guest, member);
  });
  afterAll(() => network.close());
  afterEach(() => guest.sh("awk '$3 ~ /^nfs/ { print $2 }' /proc/mounts | xargs -r umount --force"));

  it('is a kernel with a program for handshakes that knows nothing of ours', async () => {
    expect(await guest.sh('uname -r')).toMatch(/^6\.12\./);
    expect(await tlshdLog(guest)).toMatch(/Built from ktls-utils \d/);
  });

  it.each([
    ['4.2', 'tls'],
    ['4.1', 'tls'],
    ['3', 'tls'],
    ['4.2', 'mtls'],
    ['4.1', 'mtls'],
    ['3', 'mtls'],
  ] as const)('mounts NFS %s with xprtsec=%s and reads', async (version, xprtsec) => {
    await guest.sh(mount(version, `xprtsec=${xprtsec}`));
    expect(await guest.sh('cat /proc/mounts')).toMatch(new RegExp(`vers=${version},.*xprtsec=${xprtsec},`));
    expect(await digestOf(`/mnt/${version}/${FILE}`)).toBe(digest);
    // Counted by the kernel's own TLS.
    expect(await guest.sh('cat /proc/net/tls_stat')).toMatch(/TlsCurrRxSw\s+[1-9]/);
    // Without a certificate, the rules for the address show everything.
    expect(await guest.sh(`ls /mnt/${version}/models`)).toBe(xprtsec === 'tls' ? 'acme\nother\n' : 'acme\n');
  });

  it('sends and gets nothing that can be read on the way', async () => {
    const content = await readFile(join(source, SHARD));
    const secrets = Array.from({ length: 256 }, (_, at) =>
      content.subarray(at * 131_072 + 4096).subarray(0, 32),
    );
    const seen = async (name: string, options: string) => {
      const port = RECORDED_PORT + ports++;
      const file = join(root, name);
      await recordWire(network, { port, file });
      await guest.sh(mountCommand('4.2', { options, port, at: '/mnt/wire' }));
      expect(await digestOf(`/mnt/wire/${FILE}`)).toBe(digest);
      await guest.sh('umount /mnt/wire');
      const [up, down] = await Promise.all([readFile(`${file}.up`), readFile(`${file}.down`)]);
      expect(down.byteLength).toBeGreaterThan(content.byteLength);
      return { names: up.includes(SHARD), secrets: secrets.filter((secret) => down.includes(secret)).length };
    };
    let ports = 0;
    expect(await seen('plain', 'ro')).toEqual({ names: true, secrets: 256 });
    expect(await seen('secured', 'ro,xprtsec=tls')).toEqual({ names: false, secrets: 0 });
  });

  it('reads on when the server was killed and came back', async () => {
    for (const version of VERSIONS) await guest.sh(mount(version, 'xprtsec=mtls,hard'));
    const files = VERSIONS.map((version) => ({ path: `/mnt/${version}/${FILE}`, way: 'direct' as const }));
    const readers = new WatchedReaders(guest, files);
    await readers.advance(8);
    await serve(SERVED);
    // They were not at their end when it was killed.
    await readers.advance(4);
    const { byteLength } = await readFile(join(source, SHARD));
    expect(await readers.results()).toEqual(files.map(() => ({ bytes: byteLength, sha256: digest })));
  });

  it('is refused without TLS where it is required, and let in with it', async () => {
    await serve(TLS_ONLY);
    for (const version of VERSIONS) {
      expect((await guest.run(mount(version, 'xprtsec=none'))).stderr).toContain('access denied');
      await guest.sh(mount(version, 'xprtsec=tls'));
      expect(await digestOf(`/mnt/${version}/${FILE}`)).toBe(digest);
    }
  });

  it('is refused without a certificate of the cluster where that is required', async () => {
    await serve(CERTIFICATES_ONLY);
    for (const version of VERSIONS) {
      expect((await guest.run(mount(version, 'xprtsec=tls'))).stderr).toContain('access denied');
      await guest.sh(mount(version, 'xprtsec=mtls'));
      expect(await guest.sh(`ls /mnt/${version}/models`)).toBe('acme\n');
    }
  });

  it('reads nothing any more within 2 s when its certificate is revoked, unlike others', async () => {
    await serve(CERTIFICATES_ONLY);
    await guest.sh(mount('4.2', 'xprtsec=mtls'));
    await startTlshd(guest, clientNamed('second'));
    await guest.sh(mount('3', 'xprtsec=mtls'));
    await startTlshd(guest, member);
    const [script, begun] = ['read.py', 'begun'].map((name) => join(guest.directory, name)) as [
      string,
      string,
    ];
    await writeFile(script, READ_ON);
    const reading = guest.run(pythonCommand(script, `/mnt/4.2/${FILE}`, begun));
    await vi.waitUntil(() => existsSync(begun), { timeout: 30_000 });
    const revoked = Date.now();
    store.revoke('first');
    const { stdout } = await reading;
    const { error, lastRead } = JSON.parse(stdout) as { error: string; lastRead: number };
    expect(error).toBe('EACCES');
    // A guest has the clock of its host.
    expect(lastRead - revoked).toBeLessThan(REVOKED_MS);
    expect((await guest.run(mount('4.1', 'xprtsec=mtls'))).stderr).toContain('access denied');
    expect(await guest.sh(`dd if=/mnt/3/${FILE} iflag=direct bs=1M status=none | sha256sum`)).toContain(
      digest,
    );
  });

  it('does not send a call to a server that its own authority did not certify', async () => {
    await serve(SERVED);
    await startTlshd(guest, { ca: testAuthority('another cluster').ca });
    for (const version of VERSIONS)
      expect((await guest.run(mount(version, 'xprtsec=tls'))).stderr).toContain('access denied');
    expect(await tlshdLog(guest)).toContain('Certificate signer not found');
  });
});

/** Reads past the page cache until it cannot; makes a file when it has begun, and tells why it ended and when it read last. */
const READ_ON = `
import errno, json, mmap, os, sys, time
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
buffer = mmap.mmap(-1, 1 << 20)
last = None
try:
    while True:
        os.preadv(file, [buffer], 0)
        if last is None:
            open(sys.argv[2], 'w').close()
        last = time.time()
except OSError as error:
    print(json.dumps({'error': errno.errorcode[error.errno], 'lastRead': round(last * 1000)}))
`;
