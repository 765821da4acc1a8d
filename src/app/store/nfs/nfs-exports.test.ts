import type { Logger } from 'pino';
import { expect, test, vi } from 'vitest';
import { RevisionUsage } from '../../../catalog/revision-usage.js';
import type { CatalogReader } from '../../../catalog/catalog-reader.js';
import type { FileTree } from '../../../catalog/file-tree.js';
import { staticLease } from '../../../storage/byte-source.js';
import { parseAllowRule } from './nfs-access.js';
import { nfsExports } from './nfs-exports.js';

const catalog: CatalogReader = {
  models: () => Promise.resolve([]),
  refs: () => Promise.resolve(new Map()),
  revisions: () => Promise.resolve([]),
  resolve: () => Promise.reject(new Error('there is no model')),
};

function exportsTo(allow: readonly string[], privilegedPorts: boolean) {
  const warn = vi.fn();
  const exports = nfsExports({
    catalog,
    source: { name: 'none', read: () => staticLease(), close: () => Promise.resolve() },
    usage: new RevisionUsage(),
    allow: allow.map(parseAllowRule),
    privilegedPorts,
    requireTls: false,
    requireClientCertificate: false,
    logger: { warn } as unknown as Logger,
  });
  const sees = (address: string, port: number): FileTree | undefined => {
    const peer = { address, port, security: 'none' } as const;
    const tree = exports.treeFor(peer);
    exports.onEntry(peer, tree !== undefined);
    return tree;
  };
  return { warn, sees };
}

test('addresses with the same rules share one tree, others have none', () => {
  const { sees, warn } = exportsTo(['10.0.0.0/24', '10.0.1.0/24=acme/*'], false);
  expect(sees('10.0.0.1', 50_000)).toBe(sees('10.0.0.2', 700));
  expect(sees('10.0.1.1', 700)).not.toBe(sees('10.0.0.1', 700));
  expect(warn).not.toHaveBeenCalled();
  for (let count = 0; count < 3; count += 1) expect(sees('10.0.2.1', 700)).toBeUndefined();
  expect(warn).toHaveBeenCalledExactlyOnceWith(
    { address: '10.0.2.1', port: 700 },
    'a client was refused: it is named by no --allow',
  );
});

test('privileged ports: 1023 sees what 1024 does not, and the log says so once for each address', () => {
  const { sees, warn } = exportsTo(['10.0.0.0/24'], true);
  expect(sees('10.0.0.1', 1023)).toBeDefined();
  for (let port = 1024; port < 1030; port += 1) expect(sees('10.0.0.1', port)).toBeUndefined();
  expect(warn).toHaveBeenCalledExactlyOnceWith(
    { address: '10.0.0.1', port: 1024 },
    expect.stringContaining('--privileged-ports'),
  );
});
