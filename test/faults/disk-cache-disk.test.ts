import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import type { DiskCacheStats } from '../../src/storage/caches/disk/disk-cache.js';
import { testDirectory } from '../support/directories.js';

interface Observed {
  readonly told: readonly string[];
  readonly ill: DiskCacheStats;
  readonly well: DiskCacheStats;
}

const program = fileURLToPath(new URL('../support/small-disk-process.js', import.meta.url));
const [unshare, ...flags] = process.getuid?.() === 0 ? ['unshare', '-m'] : ['unshare', '-rm'];

it('a disk that is full or read-only: every read is served, it is told once, and used again when it is mended', (context) => {
  if (spawnSync(unshare, [...flags, 'mount', '-t', 'tmpfs', 'none', '/mnt']).status !== 0) {
    if (process.env['CI'] !== undefined) throw new Error('a file system of its own cannot be mounted here');
    context.skip('a file system of its own cannot be mounted here (unshare -m; mount -t tmpfs)');
  }
  const disk = join(testDirectory(), 'disk');
  const { status, stdout, stderr } = spawnSync(unshare, [...flags, process.execPath, program, disk], { encoding: 'utf8' }); // prettier-ignore
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { full, readOnly } = JSON.parse(stdout) as { full: Observed; readOnly: Observed };
  expect(full.told).toEqual([`disk-full: cannot write ${disk}/cache/chunks.pack: no space left on the device`]);
  // What had room is there and used.
  expect(full.ill).toMatchObject({ troubled: true, damagedChunks: 0 });
  expect(full.ill.usedBytes).toBeGreaterThan(1_000_000);
  expect(full.ill.diskFailures).toBe(2);
  expect(full.well.troubled).toBe(false);
  expect(full.well.usedBytes).toBeGreaterThan(full.ill.usedBytes);
  expect(readOnly.told).toHaveLength(1);
  expect(readOnly.told[0]).toMatch(/read-only/i);
  expect(readOnly.ill).toMatchObject({ troubled: true, chunks: 0, hitBytes: 0 });
  expect(readOnly.well.troubled).toBe(false);
  expect(readOnly.well.usedBytes).toBeGreaterThan(1_000_000);
  expect(readOnly.well.damagedChunks).toBe(0);
}); // prettier-ignore
