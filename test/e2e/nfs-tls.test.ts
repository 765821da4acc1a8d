import { readFileSync } from 'node:fs';
import { createHash, X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Advised } from '../../src/app/advise/advise.js';
import { parseAllowRule } from '../../src/app/store/nfs/nfs-access.js';
import { serveNfs, type NfsConfig, type RunningNfs } from '../../src/app/store/nfs/serve-nfs.js';
import { DiskCatalog } from '../../src/catalog/catalog-reader.js';
import { RevisionUsage } from '../../src/catalog/revision-usage.js';
import { StoreLayout } from '../../src/catalog/store-layout.js';
import type { NfsReader } from '../../src/protocols/nfs-client/nfs-reader.js';
import { Nfs41Reader } from '../../src/protocols/nfs-client/nfs41-reader.js';
import { connectCaller } from '../../src/protocols/nfs-client/rpc-caller.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { DirectorySource } from '../../src/storage/sources/directory-source.js';
import { FIXTURES, publish } from '../support/catalog.js';
import { calyx, type Ended } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { expectError } from '../support/expect-error.js';
import { readWithPython, type PythonNfsResult } from '../support/nfs-over-tls.js';
import {
  clientExtensions,
  SERVER_EXTENSIONS,
  testAuthority,
  type TestCertificate,
} from '../support/openssl-pki.js';
import { call, RawConnection, record, words } from '../support/raw-rpc.js';
import { grantOf, SmallPki } from '../support/small-pki.js';
import { ScriptedDoorkeeper } from '../support/scripted-doorkeeper.js';

const scratch = suiteDirectory();
const layout = new StoreLayout(join(scratch, 'data'));
const WEIGHTS = 'model-00001-of-00004.safetensors';
const ROSE = ['models', 'acme', 'rose', WEIGHTS];
const LILY = ['models', 'zeta', 'lily', WEIGHTS];
const BYTES = readFileSync(join(FIXTURES['tiny-calyx'], WEIGHTS));
const WHOLE = { size: BYTES.byteLength, sha256: createHash('sha256').update(BYTES).digest('hex') };

const authority = testAuthority('a cluster');
const other = testAuthority('another cluster');
const store = authority.issue('store', SERVER_EXTENSIONS);
const client = (name: string, of = authority): TestCertificate =>
  of.issue(name, clientExtensions('calyx://grant/0123456789ab'));
const [rose, all, unknown, stranger] = [
  client('rose'),
  client('all'),
  client('unknown'),
  client('all', other),
];

beforeAll(async () => {
  await publish(layout, FIXTURES['tiny-calyx']);
  await publish(layout, FIXTURES['tiny-calyx'], { model: { org: 'zeta', name: 'lily' } });
});

let running: RunningNfs | undefined;
const sources: DirectorySource[] = [];
afterEach(async () => {
  await running?.close();
  for (const source of sources.splice(0)) await source.close();
});

async function serve(
  config: Partial<Omit<NfsConfig, 'allow'>> & { readonly allow?: readonly string[] } = {},
  /** Who issues the certificates of clients. */
  clientsOf = authority.ca,
): Promise<{ doorkeeper: ScriptedDoorkeeper; port: number; log: string[] }> {
  const log: string[] = [];
  const catalog = new DiskCatalog(layout);
  const source = new DirectorySource(
    layout.root,
    (blob) => catalog.locate(blob),
    new BufferPool({ budgetBytes: 64 << 20 }),
  );
  sources.push(source);
  const doorkeeper = new ScriptedDoorkeeper({ rose: 'acme/*', all: '*' });
  running = await serveNfs(
    {
      listen: { host: '127.0.0.1', port: 0 },
      privilegedPorts: false,
      requireTls: false,
      requireClientCertificate: false,
      ...config,
      allow: (config.allow ?? []).map(parseAllowRule),
    },
    {
      catalog,
      source,
      usage: new RevisionUsage(),
      logger: pino({ level: 'debug' }, { write: (line: string) => void log.push(line) }),
      tls: () => ({ key: store.key, certificate: store.certificate, ca: clientsOf }),
      doorkeeper,
    },
  );
  return { doorkeeper, port: running.address.port, log };
}

const reading = (
  port: number,
  path: readonly string[],
  certificate?: TestCertificate,
): Promise<PythonNfsResult> =>
  readWithPython(scratch, {
    port,
    path,
    tls: { ca: authority.ca, ...(certificate === undefined ? {} : { client: certificate }) },
  });
const plainly = (port: number, path: readonly string[]): Promise<PythonNfsResult> =>
  readWithPython(scratch, { port, path });

describe('a client that is not ours: RPC by hand, TLS by Python', () => {
  it('reads the right bytes through TLS 1.3, and without it', async () => {
    const { port } = await serve();
    expect(await reading(port, ROSE)).toMatchObject({
      probe:
        '0000000100000001000000000000000000000008' + Buffer.from('STARTTLS').toString('hex') + '00000000',
      protocol: 'TLSv1.3',
      alpn: 'sunrpc',
      ...WHOLE,
    });
    expect(await plainly(port, ROSE)).toMatchObject(WHOLE);
  });

  it('knows the store by the CA of its cluster', async () => {
    const { port } = await serve();
    const told = await readWithPython(scratch, { port, path: ROSE, tls: { ca: other.ca } });
    expect(told.refused).toMatch(/^connect: .*certificate verify failed/);
  });

  it('sees what both its certificate and the rules for its address show', async () => {
    const { port } = await serve({ allow: ['127.0.0.1=*/rose', '127.0.0.1=zeta/*'] });
    expect(await reading(port, ROSE, rose)).toMatchObject(WHOLE);
    expect(await reading(port, LILY, rose)).toMatchObject({ refused: 'zeta: status 2' });
    expect(await reading(port, LILY, all)).toMatchObject(WHOLE);
    expect(await reading(port, LILY)).toMatchObject(WHOLE);
    await running?.close();
    const narrow = await serve({ allow: ['127.0.0.1=acme/*'] });
    expect(await reading(narrow.port, LILY, all)).toMatchObject({ refused: 'zeta: status 2' });
    expect(await reading(narrow.port, ROSE, all)).toMatchObject(WHOLE);
  });

  it('is not known by a certificate of another cluster', async () => {
    const open = await serve();
    expect(await reading(open.port, ROSE, stranger)).toMatchObject(WHOLE);
    await running?.close();
    const { port } = await serve({ requireClientCertificate: true });
    expect(await reading(port, ROSE, stranger)).toMatchObject({ refused: 'mount: denied 1 5' });
  });
});

describe('--nfs-require-tls', () => {
  it('answers NFS only within TLS; MOUNT gives handles that say nothing', async () => {
    const { port, doorkeeper, log } = await serve({ requireTls: true });
    const through = await reading(port, ROSE);
    expect(through).toMatchObject(WHOLE);
    const told = await plainly(port, ROSE);
    expect(told.refused).toBe('getattr: denied 1 5');
    expect(told.mount).toBe(through.mount);
    expect(doorkeeper.decisions).toEqual([
      { door: 'nfs', action: 'connect', address: '127.0.0.1', allowed: true, grant: undefined },
      {
        door: 'nfs',
        action: 'connect',
        address: '127.0.0.1',
        allowed: false,
        grant: undefined,
        reason: 'unauthenticated',
      },
    ]);
    expect(log.join('')).toContain('wanted NFS without TLS, which is required');
  });

  it('finds no model for MOUNT in the clear', async () => {
    const { port } = await serve({ requireTls: true });
    const connection = await RawConnection.open(port);
    const mnt = async (path: string): Promise<number> => {
      const bytes = Buffer.from(path);
      const padded = Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)]);
      connection.send(
        call(
          1,
          { program: 100_005, version: 3, procedure: 1 },
          Buffer.concat([words(bytes.byteLength), padded]),
        ),
      );
      return Buffer.from(await connection.receiveRecord(), 'hex').readUInt32BE(28);
    };
    expect([
      await mnt('/'),
      await mnt('/models'),
      await mnt('/models/acme'),
      await mnt('/models/none'),
    ]).toEqual([0, 0, 2, 2]);
    connection.destroy();
  });
});

describe('--nfs-require-client-cert', () => {
  it('lets in who shows a certificate of the cluster, to what it shows', async () => {
    const { port, doorkeeper } = await serve({ requireClientCertificate: true });
    expect(await reading(port, ROSE, rose)).toMatchObject(WHOLE);
    expect(await reading(port, LILY, rose)).toMatchObject({ refused: 'zeta: status 2' });
    expect(await reading(port, ROSE)).toMatchObject({ refused: 'mount: denied 1 5' });
    expect(await plainly(port, ROSE)).toMatchObject({ refused: 'getattr: denied 1 5' });
    expect(await reading(port, ROSE, unknown)).toMatchObject({ refused: 'mount: denied 1 5' });
    expect(
      doorkeeper.decisions.map(({ allowed, grant, reason }) => [allowed, grant?.tokenId, reason]),
    ).toEqual([
      [true, 'rose', undefined],
      [true, 'rose', undefined],
      [false, undefined, 'unauthenticated'],
      [false, undefined, 'unauthenticated'],
      [false, undefined, 'unauthenticated'],
    ]);
  });

  it('keeps the rules for addresses where there are some', async () => {
    const { port } = await serve({ requireClientCertificate: true, allow: ['127.0.0.1=acme/*'] });
    expect(await reading(port, LILY, all)).toMatchObject({ refused: 'zeta: status 2' });
    expect(await reading(port, ROSE, all)).toMatchObject(WHOLE);
  });

  it('tells no secret', async () => {
    const { port, log } = await serve({ requireClientCertificate: true });
    await reading(port, ROSE, rose);
    await reading(port, ROSE, unknown);
    expect(log.join('')).not.toMatch(/PRIVATE KEY|BEGIN CERTIFICATE/);
  });
});

it('requires nothing that it cannot offer', async () => {
  const parts = {
    catalog: new DiskCatalog(layout),
    usage: new RevisionUsage(),
    logger: pino({ level: 'silent' }),
  };
  const config = { listen: { host: '127.0.0.1', port: 0 }, allow: [], privilegedPorts: false };
  await expect(
    serveNfs(
      { ...config, requireTls: true, requireClientCertificate: false },
      {
        ...parts,
        source: new DirectorySource(
          layout.root,
          () => Promise.reject(new Error()),
          new BufferPool({ budgetBytes: 1 << 20 }),
        ),
      },
    ),
  ).rejects.toThrow('this store has no identity');
});

it('answers a client while a thousand others never finish their handshakes', async () => {
  const { port } = await serve();
  const probe = record(words(1, 0, 2, 100_003, 3, 0, 7, 0, 0, 0));
  const half = await Promise.all(Array.from({ length: 1000 }, () => RawConnection.open(port)));
  for (const connection of half) connection.send(probe);
  await Promise.all(half.map((connection) => connection.receiveRecord()));
  expect(running?.load().connections).toBe(1000);
  expect(await plainly(port, ROSE)).toMatchObject(WHOLE);
  expect(await reading(port, ROSE, rose)).toMatchObject(WHOLE);
  for (const connection of half) connection.destroy();
});

const open = async (port: number, holder: TestCertificate): Promise<NfsReader> => {
  const caller = await connectCaller({
    host: '127.0.0.1',
    port,
    privileged: false,
    signal: AbortSignal.timeout(60_000),
    timeoutMs: 5_000,
    callTimeoutMs: 30_000,
    tls: {
      program: 100_003,
      version: 4,
      ca: authority.ca,
      key: holder.key,
      certificate: holder.certificate,
    },
  });
  return Nfs41Reader.open(caller, `/${ROSE.slice(0, -1).join('/')}`, AbortSignal.timeout(60_000));
};

describe('a certificate', () => {
  it('ends its connections when it is over, and none of the others; with the next one its holder comes again', async () => {
    const pki = await SmallPki.make();
    const issue = (to: number): Promise<TestCertificate> =>
      pki.pair({ ...grantOf('0123456789ab', 'read'), to });
    const { port, doorkeeper, log } = await serve({ requireClientCertificate: true }, pki.certificate);
    doorkeeper.knows('somebody', '*');
    const signal = AbortSignal.timeout(60_000);
    const lasting = await open(port, await issue(3_600_000));
    // Its end is cut down to whole seconds.
    const brief = await issue(3_000);
    const reader = await open(port, brief);
    const endsAt = Date.parse(new X509Certificate(brief.certificate).validTo);
    let cutAt = 0;
    while (cutAt === 0) {
      const asked = Date.now();
      await reader.attributes(reader.root, signal).catch((error: unknown) => {
        expect(error).toMatchObject({ code: 'unavailable' });
        cutAt = asked;
      });
    }
    expect(cutAt - endsAt).toBeGreaterThan(-100);
    expect(cutAt - endsAt).toBeLessThan(2_000);
    expect(log.join('')).toContain('its certificate is over');
    await expectError(() => open(port, brief), 'refused');
    const renewed = await open(port, await issue(60_000));
    for (const other of [renewed, lasting]) {
      const node = await other.lookup(other.root, WEIGHTS, signal);
      const read = await other.read(node, 0, 4096, signal);
      expect(Buffer.from(read.bytes)).toEqual(BYTES.subarray(0, 4096));
      await other.close();
    }
  });
});

describe('a token that is revoked', () => {
  it('ends its connections at once, and none of the others with what they hold', async () => {
    const { port, doorkeeper } = await serve({ requireClientCertificate: true });
    const signal = AbortSignal.timeout(60_000);
    const revoked = await open(port, rose);
    const other = await open(port, all);
    const node = await other.lookup(other.root, WEIGHTS, signal);
    expect((await revoked.lookup(revoked.root, WEIGHTS, signal)).size).toBe(BYTES.byteLength);
    doorkeeper.revoke('rose');
    await expectError(() => revoked.attributes(revoked.root, signal), 'unavailable');
    await expectError(() => open(port, rose), 'refused');
    // Its session, its lease and its opens are as before.
    const read = await other.read(node, 0, 4096, signal);
    expect(Buffer.from(read.bytes)).toEqual(BYTES.subarray(0, 4096));
    await other.close();
    expect(doorkeeper.listeners).toBe(1);
    await running?.close();
    expect(doorkeeper.listeners).toBe(0);
  });

  it('is not let in by its certificate, although its address may mount', async () => {
    const { port, doorkeeper } = await serve();
    doorkeeper.revoke('rose');
    expect(await reading(port, ROSE, rose)).toMatchObject({ refused: 'mount: denied 1 5' });
    expect(doorkeeper.decisions.at(-1)).toMatchObject({ allowed: false, reason: 'unauthenticated' });
  });
});

describe('calyx advise', () => {
  const advise = (port: number): Promise<Ended> =>
    calyx('advise', '--nfs', `127.0.0.1:${port}`, '--seconds', '1', '--json');

  it('speaks TLS where the store wants it, and mounts with it', async () => {
    const { port } = await serve({ requireTls: true });
    const ended = await advise(port);
    expect(ended.code, ended.stderr).toBe(0);
    const advised = JSON.parse(ended.stdout) as Advised;
    expect(advised.store).toEqual({
      versions: { '3': 'yes', '4.1': 'yes', '4.2': 'yes' },
      privilegedPorts: 'no',
      tls: 'required',
    });
    expect(advised.advice.commands.join(' ')).toContain('xprtsec=tls');
    expect(advised.measurements.results.length).toBeGreaterThan(0);
  });

  it('says that TLS is offered', async () => {
    const { port } = await serve();
    const ended = await advise(port);
    expect((JSON.parse(ended.stdout) as Advised).store.tls).toBe('offered');
  });

  it('says what to mount with where a certificate is wanted', async () => {
    const { port } = await serve({ requireClientCertificate: true });
    const ended = await advise(port);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('xprtsec=mtls');
  });
});
