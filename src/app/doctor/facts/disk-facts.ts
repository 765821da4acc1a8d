import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode } from '../../../core/errors.js';

/** The disk on which a directory lies, or would lie. */
export interface DiskFacts {
  /** What was asked: the directory, or the nearest above it that is there. */
  readonly path: string;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** What kind of file system, where that matters. */
  readonly kind: 'nfs' | 'smb' | 'memory' | 'other';
}

/** Numbers by which Linux tells file systems (statfs(2), linux/magic.h). */
const KINDS: ReadonlyMap<number, DiskFacts['kind']> = new Map([
  [0x6969, 'nfs'],
  [0x517b, 'smb'],
  [0xff534d42, 'smb'],
  [0xfe534d42, 'smb'],
  [0x01021994, 'memory'],
  [0x858458f6, 'memory'],
]);

export async function diskFacts(directory: string): Promise<DiskFacts> {
  for (let path = directory; ; path = dirname(path))
    try {
      const { bavail, bsize, blocks, type } = await statfs(path);
      // The magic number may come with its sign.
      const kind = (process.platform === 'linux' ? KINDS.get(type >>> 0) : undefined) ?? 'other';
      return { path, freeBytes: bavail * bsize, totalBytes: blocks * bsize, kind };
    } catch (error) {
      if (systemCode(error) !== 'ENOENT' || dirname(path) === path) throw error;
    }
}
