// Run as a child process: tls-store-process.js CONFIG, a JSON file of TlsStoreConfig. Serves the catalog of a data directory by NFS with TLS,
// put together as a store does it, but with a certificate and a doorkeeper that none of our code that issues certificates has made.
// Says 'listening' when it does; 'revoke TOKENID' on its standard input ends the grant of a token.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { parseAllowRule } from '../../../src/app/store/nfs/nfs-access.js';
import { serveNfs } from '../../../src/app/store/nfs/serve-nfs.js';
import { CachedCatalog } from '../../../src/catalog/cached-catalog.js';
import { DiskCatalog } from '../../../src/catalog/catalog-reader.js';
import { RevisionUsage } from '../../../src/catalog/revision-usage.js';
import { StoreLayout } from '../../../src/catalog/store-layout.js';
import type { Grant, TlsSettings } from '../../../src/core/access.js';
import type { Doorkeeper } from '../../../src/core/doorkeeper.js';
import { CalyxError } from '../../../src/core/errors.js';
import { BufferPool } from '../../../src/storage/buffer-pool.js';
import { DirectorySource } from '../../../src/storage/sources/directory-source.js';

/** What to serve, and to whom. */
export interface TlsStoreConfig {
  readonly data: string;
  readonly host: string;
  readonly port: number;
  readonly tls: TlsSettings;
  /** Rules as `--allow` takes them. */
  readonly allow: readonly string[];
  readonly requireTls: boolean;
  readonly requireClientCertificate: boolean;
}

const POOL_BYTES = 64 * 1024 * 1024;

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as TlsStoreConfig;
const revoked = new Set<string>();
const listeners = new Set<(tokenId: string) => void>();

/** Knows the grant of a certificate by its URI, `calyx://grant/TOKENID?models=PATTERN`. */
const doorkeeper: Doorkeeper = {
  whoIs: ({ certificate }): Grant => {
    const names = certificate === undefined ? undefined : new X509Certificate(certificate).subjectAltName;
    const [, tokenId, models] = /URI:calyx:\/\/grant\/(\w+)\?models=([^,\s]+)/.exec(names ?? '') ?? [];
    if (tokenId === undefined || models === undefined || revoked.has(tokenId))
      throw new CalyxError('unauthenticated', 'no grant, or one that was revoked');
    return { tokenId, name: tokenId, role: 'read', models: decodeURIComponent(models) };
  },
  decided: () => undefined,
  onRevoked: (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
};

const layout = new StoreLayout(config.data);
const catalog = new DiskCatalog(layout);
const source = new DirectorySource(
  layout.root,
  (blob) => catalog.locate(blob),
  new BufferPool({ budgetBytes: POOL_BYTES }),
);
await serveNfs(
  {
    listen: { host: config.host, port: config.port },
    allow: config.allow.map(parseAllowRule),
    privilegedPorts: false,
    requireTls: config.requireTls,
    requireClientCertificate: config.requireClientCertificate,
  },
  {
    catalog: new CachedCatalog(catalog),
    source,
    usage: new RevisionUsage(),
    logger: pino({ level: 'debug' }, pino.destination(2)),
    tls: config.tls,
    doorkeeper,
  },
);
createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, tokenId = ''] = line.split(' ');
  if (verb !== 'revoke') throw new Error(`unknown: ${line}`);
  revoked.add(tokenId);
  for (const listener of listeners) listener(tokenId);
});
process.stdout.write('listening\n');
