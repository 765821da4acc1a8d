import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { CatalogReader } from '../../../catalog/catalog-reader.js';
import { RevisionUsage } from '../../../catalog/revision-usage.js';
import { CalyxError } from '../../../core/errors.js';
import { LOOPBACK_RULES } from './nfs-access.js';
import { nfsExports } from './nfs-exports.js';

const PEER = { address: '127.0.0.1', port: 700 };

test('the figures for df are counted once for all who ask at the same moment, and a failure is not kept', async () => {
  let counted = 0;
  const unused = (): never => {
    throw new CalyxError('internal', 'not for this');
  };
  const catalog: CatalogReader = {
    models: () => {
      counted += 1;
      return counted === 1 ? Promise.reject(new CalyxError('unreadable', 'the disk')) : Promise.resolve([]);
    },
    refs: unused,
    revisions: unused,
    resolve: unused,
  };
  const exports = nfsExports({
    catalog,
    source: { name: 'none', read: unused, close: () => Promise.resolve() },
    usage: new RevisionUsage(),
    allow: LOOPBACK_RULES,
    privilegedPorts: false,
    logger: pino({ level: 'silent' }),
  });
  await expect(exports.statistics(PEER)).rejects.toThrow('the disk');
  const asked = Array.from({ length: 100 }, () => exports.statistics(PEER));
  expect(await Promise.all(asked)).toEqual(Array.from({ length: 100 }, () => ({ bytes: 0, files: 0 })));
  expect(counted).toBe(2);
});
