// Run as a child process: tls-store-process.js CONFIG, a JSON file of TlsStoreConfig. Serves the catalog of a data directory by NFS with TLS,
// put together as a store does it, but with certificates that are not of our making. Says 'listening' when it does; 'revoke NAME' on its
// standard input ends what a name may see.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { parseAllowRule } from '../../../src/app/store/nfs/nfs-access.js';
import { serveNfs } from '../../../src/app/store/nfs/serve-nfs.js';
import { CachedCatalog } from '../../../src/catalog/cached-catalog.js';
import { DiskCatalog } from '../../../src/catalog/catalog-reader.js';
import { RevisionUsage } from '../../../src/catalog/revision-usage.js';
import { StoreLayout } from '../../../src/catalog/store-layout.js';
import type { TlsSettings } from '../../../src/core/access.js';
import { BufferPool } from '../../../src/storage/buffer-pool.js';
import { DirectorySource } from '../../../src/storage/sources/directory-source.js';
import { ScriptedDoorkeeper } from '../scripted-doorkeeper.js';

/** What to serve, and to whom. */
export interface TlsStoreConfig {
  readonly data: string;
  readonly host: string;
  readonly port: number;
  readonly tls: TlsSettings;
  /** The common names of certificates, and the models that each may see. */
  readonly grants: Readonly<Record<string, string>>;
  /** Rules as `--allow` takes them. */
  readonly allow: readonly string[];
  readonly requireTls: boolean;
  readonly requireClientCertificate: boolean;
}

const POOL_BYTES = 64 * 1024 * 1024;

const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as TlsStoreConfig;
const doorkeeper = new ScriptedDoorkeeper(config.grants);
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
    tls: () => config.tls,
    doorkeeper,
  },
);
createInterface({ input: process.stdin }).on('line', (line) => {
  const [verb, name = ''] = line.split(' ');
  if (verb !== 'revoke') throw new Error(`unknown: ${line}`);
  doorkeeper.revoke(name);
});
process.stdout.write('listening\n');
