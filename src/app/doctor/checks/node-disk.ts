import { formatSize } from '../../../core/units.js';
import type { DiskFacts } from '../facts/disk-facts.js';
import { note, ok, warning, type Verdict } from '../finding.js';

/** Less than a block of most models has. */
const LITTLE_BYTES = 2 ** 30;

/** Whether the slices of a node have room. */
export function checkNodeDisk(directory: string, { path, freeBytes, kind }: DiskFacts): Verdict[] {
  const where = path === directory ? directory : `${directory} (on the disk of ${path})`;
  const verdicts = [
    freeBytes < LITTLE_BYTES
      ? warning(
          `${formatSize(freeBytes)} free for the blocks of a node in ${where}`,
          'free some space, or keep them elsewhere: CALYX_NODE_DATA, or calyx node --data',
        )
      : ok(`${formatSize(freeBytes)} free for the blocks of a node in ${where}`),
  ];
  if (kind === 'memory')
    verdicts.push(
      note(
        `${where} is in memory: blocks that are kept there take it from the model`,
        'keep them on a disk: CALYX_NODE_DATA, or calyx node --data',
      ),
    );
  return verdicts;
}
