// Started by strangers.test.ts: a server that requires tokens, with one blob; tells its port to the process that started it.
import { pino } from 'pino';
import type { Grant } from '../../src/core/access.js';
import { sha256 } from '../../src/core/digest.js';
import { CalyxError } from '../../src/core/errors.js';
import { contentRoutes } from '../../src/protocols/http/content-routes.js';
import { createHttpServer, listen } from '../../src/protocols/http/create-server.js';
import { FairShare } from '../../src/protocols/http/fair-share.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { testAuthority } from '../support/certificates.js';
import { MemorySource } from '../support/memory-source.js';

const MIB = 1024 * 1024;
const READER: Grant = { tokenId: 'reader', name: 'reader', role: 'read', models: '*' };

const bytes = Buffer.alloc(16 * MIB, 'petal');
const blob = sha256(bytes);
const authority = await testAuthority();
const server = createHttpServer({
  logger: pino({ level: 'silent' }),
  tls: await authority.server(),
  requireToken: true,
  doorkeeper: {
    whoIs: ({ token }) => {
      if (token === 'reader') return READER;
      throw new CalyxError('unauthenticated', 'the token is not valid');
    },
    decided: () => undefined,
    onRevoked: () => () => undefined,
  },
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
process.send?.({ url, blob, ca: authority.ca, bytes: bytes.byteLength });
