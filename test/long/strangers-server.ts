// Started by strangers.test.ts: a server that requires tokens, with one blob; tells its port to the process that started it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { AuditLog } from '../../src/cluster/audit/audit-log.js';
import { StoreDoorkeeper } from '../../src/cluster/tokens/store-doorkeeper.js';
import { TokenTable } from '../../src/cluster/tokens/token-table.js';
import { sha256 } from '../../src/core/digest.js';
import { CalyxError } from '../../src/core/errors.js';
import { contentRoutes } from '../../src/protocols/http/content-routes.js';
import { createHttpServer, listen } from '../../src/protocols/http/create-server.js';
import { FairShare } from '../../src/protocols/http/fair-share.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { testAuthority } from '../support/certificates.js';
import { MemorySource } from '../support/memory-source.js';

const MIB = 1024 * 1024;
const logger = pino({ level: 'silent' });

// Tokens, lock-out and audit log are those of a store.
const directory = mkdtempSync(join(tmpdir(), 'calyx-strangers-'));
process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
process.once('disconnect', () => process.exit());
const table = await TokenTable.open(join(directory, 'tokens.json'), { fingerprint: 'f'.repeat(43) });
const { token } = await table.create({ name: 'reader', role: 'read', models: '*' });
const audit = AuditLog.open(join(directory, 'audit.log'), { logger });

const bytes = Buffer.alloc(16 * MIB, 'petal');
const blob = sha256(bytes);
const authority = await testAuthority();
const server = createHttpServer({
  logger,
  tls: await authority.server(),
  requireToken: true,
  doorkeeper: new StoreDoorkeeper({
    table,
    grantOfCertificate: () => undefined,
    decided: (decision) => audit.write(decision),
  }),
});
contentRoutes(server, {
  source: new MemorySource('memory', new Map([[blob, bytes]]), new BufferPool({ budgetBytes: 128 * MIB })),
  share: new FairShare(),
  onSent: () => undefined,
  onCutOff: () => undefined,
  view: () => ({
    tree: {
      kind: 'directory',
      list: () => Promise.resolve([]),
      lookup: () => Promise.resolve(undefined),
    } as never,
    manifestBytes: () => Promise.reject(new CalyxError('not-found', 'there is none')),
    blobSize: (digest) => Promise.resolve(digest === blob ? bytes.byteLength : undefined),
  }),
});
const url = await listen(server, { host: '127.0.0.1', port: 0 });
process.send?.({ url, blob, token, ca: authority.ca });
