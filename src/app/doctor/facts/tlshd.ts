import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SystemFiles } from '../../advise/system-files.js';

/** True if a process called tlshd runs, as far as /proc shows others. */
export function tlshdRuns(files: SystemFiles): boolean {
  try {
    return readdirSync(join(files.root, '/proc')).some(
      (name) => /^\d+$/.test(name) && files.text(`/proc/${name}/comm`)?.trim() === 'tlshd',
    );
  } catch {
    return false;
  }
}
