import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import { openIdentity } from '../../src/cluster/identity/cluster-identity.js';
import { calyxJson } from '../support/cli.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { sha256Of } from '../support/guest/expected-views.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import {
  certificateOnHost,
  GuestUser,
  makeToken,
  SECURED_ARGS,
  type MadeToken,
} from '../support/guest/joined-machine.js';
import {
  calyxIn,
  mountCommand,
  NFS_PORT,
  pythonCommand,
  startGuestStore,
  suiteMemoryDirectory,
  type GuestStore,
  type NfsVersion,
} from '../support/guest/mounted-store.js';
import { createNetwork, HOST_ADDRESS, type GuestNetwork } from '../support/guest/network.js';
import { recordWire } from '../support/guest/record-wire.js';
import { startTlshd, tlshdLog } from '../support/guest/tlshd.js';
import { WatchedReaders } from '../support/guest/watched-readers.js';
import { writeRandomModel } from '../support/models.js';

const MIB = 1024 * 1024;
const SHARD = 'model-00001-of-00001.safetensors';
const FILE = `models/acme/one/${SHARD}`;
const RECORDED_PORT = 2050;
/** Pieces of the file that are looked for in what passes. */
const SECRETS = 128;
/** So long may a client go on whose right to read was taken away. */
const REVOKED_MS = 2000;

const VERSIONS: readonly NfsVersion[] = ['4.2', '4.1', '3'];
const BY_ADDRESS = ['--allow', `${HOST_ADDRESS}/24`];
const TLS_ONLY = [...BY_ADDRESS, '--nfs-require-tls'];
/** Who comes in is then said by certificates alone. */
const CERTIFICATES_ONLY = ['--nfs-require-client-cert'];
/** Of the guest itself: `calyx certificate` writes it there, in the guest. */
const OWN = '/etc/calyx';

const root = suiteMemoryDirectory(256 * MIB);
const data = join(root, 'data');
const source = join(root, 'source');

// Of Linux clients, 6.5 is the first that knows xprtsec; the guests of other tests have 6.1.
describe.skipIf(guestUnavailable('6.12') !== undefined)("Linux's NFS client over TLS, with tlshd", () => {
  let network: GuestNetwork;
  let guest: Guest;
  let user: GuestUser;
  let store: GuestStore | undefined;
  let member: MadeToken;
  let renewed: MadeToken;
  /** Certificates of others, which were made on the host. */
  let second: string;
  let stranger: string;
  let digest: string;

  const serve = async (how: readonly string[]): Promise<void> => {
    await store?.kill();
    store = await startGuestStore(network, data, [...SECURED_ARGS, ...how]);
  };
  const mount = (version: NfsVersion, xprtsec: string) => mountCommand(version, { options: `ro,${xprtsec}` });
  const digestOf = async (path: string) => (await guest.sh(`sha256sum ${path}`)).split(' ')[0];
  const show = (certificate: string) => startTlshd(guest, { trusts: OWN, shows: certificate });
  let readings = 0;
  /** Reads on in the guest, and returns when that has begun. */
  const readOn = async (path: string) => {
    const name = `reading-${String((readings += 1))}`;
    const [script, begun] = [join(guest.directory, `${name}.py`), join(guest.directory, `${name}.begun`)];
    await writeFile(script, READ_ON);
    const stop = `/run/${name}.stop`;
    const ended = guest
      .sh(pythonCommand(script, path, begun, stop))
      .then((said) => JSON.parse(said) as ReadOn);
    await Promise.race([ended, vi.waitUntil(() => existsSync(begun), { timeout: 30_000 })]);
    return { ended, stop: () => guest.sh(`touch ${stop}`).then(() => ended) };
  };
  const ownCertificate = (token: MadeToken) => user.sh(`${token.line}\ncalyx certificate --out ${OWN}`);

  /** As `calyx certificate` writes it, but for as long as a test wants it; `cluster` is where its identity lies. */
  const issueInto = async (
    name: string,
    cluster: string,
    who: { readonly id: string; readonly lifetimeMs?: number },
  ): Promise<string> => {
    const identity = await openIdentity(cluster);
    const { key, request } = await createCertificateRequest();
    const grant = { tokenId: who.id, name, role: 'admin', models: '*' } as const;
    const { certificate } = await identity.issue(request, grant, who.lifetimeMs);
    const directory = join(guest.directory, name);
    await mkdir(directory, { recursive: true });
    const files = { 'key.pem': key, 'certificate.pem': certificate, 'ca.pem': identity.ca };
    for (const [file, text] of Object.entries(files))
      await writeFile(join(directory, file), text, { mode: 0o600 });
    return directory;
  };
  /** Of a cluster that has nothing to do with ours. */
  const certificateOfOthers = () => issueInto('stranger', join(root, 'others'), { id: '0123456789ab' });

  const publishAndServe = async (): Promise<readonly MadeToken[]> => {
    await writeRandomModel(source, { blocks: 3, matrixBytes: 2 * MIB, shards: 1, seed: 9 });
    digest = sha256Of(await readFile(join(source, SHARD)));
    await calyxJson('add', source, '--name', 'acme/one', '--data', data);
    await calyxJson('add', source, '--name', 'other/two', '--data', data);
    await serve(BY_ADDRESS);
    return Promise.all(
      ['first', 'renewed', 'second'].map((name) => makeToken(data, '--models', 'acme/*', '--name', name)),
    );
  };

  beforeAll(async () => {
    network = await createNetwork({ guests: 1 });
    const tokens = publishAndServe();
    [guest] = await Promise.all([startGuest(network, { kernel: '6.12' }), tokens]);
    user = await GuestUser.create(guest);
    const [first, next, other] = await tokens;
    if (first === undefined || next === undefined || other === undefined) throw new Error('no tokens');
    [member, renewed] = [first, next];
    const onHost = (args: readonly string[], env: Readonly<Record<string, string>>) =>
      calyxIn(network, args, env);
    [, second, stranger] = await Promise.all([
      ownCertificate(member),
      certificateOnHost(other, join(guest.directory, 'second'), onHost),
      certificateOfOthers(),
    ]);
    await show(OWN);
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
    const secrets = Array.from({ length: SECRETS }, (_, at) =>
      content.subarray(at * 131_072 + 4096).subarray(0, 32),
    );
    const seen = async (name: string, options: string) => {
      const port = RECORDED_PORT + ports++;
      const file = join(root, name);
      await recordWire(network, { port, target: NFS_PORT, file });
      await guest.sh(mountCommand('4.2', { options, port, at: '/mnt/wire' }));
      expect(await digestOf(`/mnt/wire/${FILE}`)).toBe(digest);
      await guest.sh('umount /mnt/wire');
      const [up, down] = await Promise.all([readFile(`${file}.up`), readFile(`${file}.down`)]);
      expect(down.byteLength).toBeGreaterThan(content.byteLength);
      return { names: up.includes(SHARD), secrets: secrets.filter((secret) => down.includes(secret)).length };
    };
    let ports = 0;
    expect(await seen('plain', 'ro')).toEqual({ names: true, secrets: SECRETS });
    expect(await seen('secured', 'ro,xprtsec=tls')).toEqual({ names: false, secrets: 0 });
  });

  it('reads on when the server was killed and came back', async () => {
    for (const version of VERSIONS) await guest.sh(mount(version, 'xprtsec=mtls,hard'));
    const files = VERSIONS.map((version) => ({ path: `/mnt/${version}/${FILE}`, way: 'direct' as const }));
    const readers = new WatchedReaders(guest, files);
    await readers.advance(4);
    await serve(BY_ADDRESS);
    // They were not at their end when it was killed.
    await readers.advance(2);
    const { byteLength } = await readFile(join(source, SHARD));
    expect(await readers.results()).toEqual(files.map(() => ({ bytes: byteLength, sha256: digest })));
  });

  it('is refused without TLS where it is required, and let in with it', async () => {
    await serve(TLS_ONLY);
    for (const version of VERSIONS) {
      expect((await guest.run(mount(version, 'xprtsec=none'))).stderr).toContain('access denied');
      await guest.sh(mount(version, 'xprtsec=tls'));
      expect(await guest.sh(`ls /mnt/${version}/models`)).toBe('acme\nother\n');
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

  it('is refused with a certificate of another cluster', async () => {
    await show(stranger);
    for (const version of VERSIONS)
      expect((await guest.run(mount(version, 'xprtsec=mtls'))).stderr).toContain('access denied');
    await show(OWN);
  });

  it('comes back with the certificate that was renewed meanwhile, when its connection is cut', async () => {
    const versions = ['4.2', '3'] as const;
    for (const version of versions) await guest.sh(mount(version, 'xprtsec=mtls,hard'));
    await ownCertificate(renewed);
    const reading = await Promise.all(versions.map((version) => readOn(`/mnt/${version}/${FILE}`)));
    // Cuts the connections that the certificate of before has opened; with that one, nothing is read any more.
    await calyxJson('token', 'revoke', member.id, '--data', data);
    const audit = join(data, '.calyx/cluster/audit.log');
    await vi.waitUntil(
      async () => (await readFile(audit, 'utf8')).split('\n').some(tells('"door":"nfs"', renewed.id)),
      { timeout: 30_000 },
    );
    for (const each of reading) {
      const { error, digests } = await each.stop();
      expect({ error, digests }).toEqual({ error: null, digests: [digest] });
    }
  });

  it('reads on with the certificate that was renewed in time, when the one that opened its connections is over', async () => {
    const [before, after] = [
      await makeToken(data, '--name', 'before'),
      await makeToken(data, '--name', 'after'),
    ];
    const cluster = join(data, '.calyx/cluster');
    const lifetimeMs = 15_000;
    await show(await issueInto('brief', cluster, { id: before.id, lifetimeMs }));
    const versions = ['4.2', '3'] as const;
    for (const version of versions) await guest.sh(mount(version, 'xprtsec=mtls,hard'));
    await issueInto('brief', cluster, { id: after.id });
    const reading = await Promise.all(versions.map((version) => readOn(`/mnt/${version}/${FILE}`)));
    // Nobody has cut anything but the store, and the token of before is still good.
    await vi.waitUntil(
      async () =>
        (await readFile(join(cluster, 'audit.log'), 'utf8'))
          .split('\n')
          .some(tells('"door":"nfs"', after.id)),
      { timeout: 2 * lifetimeMs },
    );
    for (const each of reading) {
      const { error, digests } = await each.stop();
      expect({ error, digests }).toEqual({ error: null, digests: [digest] });
    }
    await show(OWN);
  });

  it('reads nothing any more within 2 s when its token is revoked, unlike others', async () => {
    await guest.sh(mount('4.2', 'xprtsec=mtls'));
    await show(second);
    await guest.sh(mount('3', 'xprtsec=mtls'));
    await show(OWN);
    const reading = await readOn(`/mnt/4.2/${FILE}`);
    await calyxJson('token', 'revoke', renewed.id, '--data', data);
    const revoked = Date.now();
    const { error, lastRead } = await reading.ended;
    expect(error).toBe('EACCES');
    // A guest has the clock of its host.
    expect(lastRead - revoked).toBeLessThan(REVOKED_MS);
    expect((await guest.run(mount('4.1', 'xprtsec=mtls'))).stderr).toContain('access denied');
    expect(await guest.sh(`dd if=/mnt/3/${FILE} iflag=direct bs=1M status=none | sha256sum`)).toContain(
      digest,
    );
  });

  it('does not send a call to a server that its own authority did not certify', async () => {
    await serve(BY_ADDRESS);
    await startTlshd(guest, { trusts: stranger, shows: stranger });
    for (const version of VERSIONS)
      expect((await guest.run(mount(version, 'xprtsec=tls'))).stderr).toContain('access denied');
    expect(await tlshdLog(guest)).toContain('Certificate signer not found');
  });
});

function tells(...words: readonly string[]): (line: string) => boolean {
  return (line) => words.every((word) => line.includes(word));
}

/** How reading on ended. */
interface ReadOn {
  /** Its name, null if there was none. */
  readonly error: string | null;
  /** SHA-256 of the whole file, each that was seen. */
  readonly digests: readonly string[];
  /** Milliseconds since 1970. */
  readonly lastRead: number;
}

/** Reads a file past the page cache again and again until it cannot, or until a file says so; makes one when it has begun. */
const READ_ON = `
import errno, hashlib, json, mmap, os, sys, time
path, begun, stop = sys.argv[1:]
file = os.open(path, os.O_RDONLY | os.O_DIRECT)
size = os.fstat(file).st_size
buffer = mmap.mmap(-1, 1 << 20)
digests, error, last = set(), None, 0
try:
    while not os.path.exists(stop):
        digest, at = hashlib.sha256(), 0
        while at < size:
            got = os.preadv(file, [buffer], at)
            digest.update(buffer[:got])
            at += got
            last = time.time()
        digests.add(digest.hexdigest())
        open(begun, 'w').close()
except OSError as failed:
    error = errno.errorcode[failed.errno]
print(json.dumps({'error': error, 'digests': sorted(digests), 'lastRead': round(last * 1000)}))
`;
