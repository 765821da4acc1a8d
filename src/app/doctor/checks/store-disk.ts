import { formatSize } from '../../../core/units.js';
import { shellQuote } from '../../../core/shell-quote.js';
import type { DiskFacts } from '../facts/disk-facts.js';
import { isHidden, type SeenFile } from '../facts/file-facts.js';
import { ok, problem, unseen, warning, type Verdict } from '../finding.js';

/** Where a store keeps the one copy. */
export interface StoreDisk {
  readonly root: string;
  readonly disk: DiskFacts;
  /** The data directory and its `.calyx`. */
  readonly directories: readonly SeenFile[];
  /** The model with the most bytes; undefined if there is none. */
  readonly largest: { readonly model: string; readonly bytes: number } | undefined;
}

/** Tokens and the log are written even if no model is added. */
const LEAST_BYTES = 64 * 2 ** 20;
const OTHERS_WRITE = 0o002;

/** Whether there is room for another revision, on a disk that is fit for the one copy, that nobody else may change. */
export function checkStoreDisk({ root, disk, directories, largest }: StoreDisk): Verdict[] {
  return [...room(root, disk, largest), ...kind(root, disk), ...directories.flatMap(writers)];
}

function room(root: string, { freeBytes }: DiskFacts, largest: StoreDisk['largest']): Verdict[] {
  const free = formatSize(freeBytes);
  if (freeBytes < LEAST_BYTES)
    return [
      problem(
        `only ${free} free in ${root}: tokens and the audit log may not be written any more`,
        'free some space: calyx list shows what is there, calyx remove removes a model',
      ),
    ];
  if (largest !== undefined && freeBytes < largest.bytes)
    return [
      warning(
        `${free} free in ${root}, less than ${largest.model} takes (${formatSize(largest.bytes)}): another revision of it has no room`,
        'free some space before you add one: calyx list shows what is there, calyx remove removes a model',
      ),
    ];
  return [ok(`${free} free in ${root}`)];
}

function kind(root: string, disk: DiskFacts): Verdict[] {
  if (disk.kind === 'memory')
    return [
      warning(`${root} is in memory: the one copy ends with this machine`, 'keep it on a disk: --data DIRECTORY'),
    ];
  if (disk.kind === 'nfs' || disk.kind === 'smb')
    return [
      warning(
        `${root} lies on a network file system (${disk.kind}): sockets that show who owns it are seen on one machine only`,
        'keep the copy on a disk of the machine that runs the store',
      ),
    ];
  return [];
} // prettier-ignore

function writers(file: SeenFile): Verdict[] {
  if (isHidden(file)) return [unseen(file.path, file.why)];
  if ((file.mode & OTHERS_WRITE) === 0) return [];
  return [
    problem(
      `everybody on this machine may change ${file.path} (mode ${file.mode.toString(8).padStart(4, '0')})`,
      `chmod o-w ${shellQuote(file.path)}; then calyx verify, which reads all models and tells whether they are as they were published`,
    ),
  ];
}
