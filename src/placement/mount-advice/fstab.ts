import { CalyxError } from '../../core/errors.js';

/** A line of fstab(5) that is ours. */
export interface FstabEntry {
  /** `HOST:PATH`. */
  readonly source: string;
  readonly mountPoint: string;
  readonly options: string;
}

/** Stands above each line that we wrote, so that a later run replaces that line and no other. */
export const FSTAB_MARK = '# written by calyx advise; a later run replaces the next line';

/** For a machine that must boot also while the store does not answer. */
const BOOT_OPTIONS = '_netdev,nofail';

/** The line for an entry: blanks and such as fstab(5) escapes them. */
export function fstabLine({ source, mountPoint, options }: FstabEntry): string {
  return `${escapeField(source)} ${escapeField(mountPoint)} nfs ${options},${BOOT_OPTIONS} 0 0`;
}

/**
 * The text of an fstab with this entry: in place of our own earlier line for that mount point, else at the end. Every other line
 * stays byte for byte.
 *
 * @throws CalyxError `exists` if a line that is not ours uses the mount point
 */
export function editFstab(text: string, entry: FstabEntry): string {
  const line = fstabLine(entry);
  const lines = text.split('\n');
  const ours: number[] = [];
  for (const [index, each] of lines.entries()) {
    if (mountPointOf(each) !== normalPath(entry.mountPoint)) continue;
    if (lines[index - 1] !== FSTAB_MARK)
      throw new CalyxError('exists', `fstab has a line of its own for ${entry.mountPoint}: ${each.trim()}`, {
        hint: 'choose another --mount-point, or remove that line',
      });
    ours.push(index);
  }
  const [first, ...others] = ours;
  if (first === undefined) {
    const before = text === '' || text.endsWith('\n') ? text : `${text}\n`;
    return `${before}${FSTAB_MARK}\n${line}\n`;
  }
  const dropped = new Set(others.flatMap((index) => [index - 1, index]));
  return lines
    .map((each, index) => (index === first ? line : each))
    .filter((_, index) => !dropped.has(index))
    .join('\n');
}

/** Whether a line of an fstab has this mount point. */
export function fstabHas(text: string, mountPoint: string): boolean {
  return text.split('\n').some((line) => mountPointOf(line) === normalPath(mountPoint));
}

/** The mount point that a line of fstab names, if it names one. */
function mountPointOf(line: string): string | undefined {
  const fields = line.trim().split(/[ \t]+/);
  if (fields[0] === undefined || fields[0] === '' || fields[0].startsWith('#')) return undefined;
  const field = fields[1];
  if (field === undefined || field === 'none' || field === 'swap') return undefined;
  return normalPath(unescapeField(field));
}

/** Without repeated and trailing slashes, so that two ways to write a path are one. */
function normalPath(path: string): string {
  const simple = path.replaceAll(/\/+/g, '/');
  return simple.length > 1 && simple.endsWith('/') ? simple.slice(0, -1) : simple;
}

function escapeField(field: string): string {
  return field.replaceAll(
    /[ \t\n\\#]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );
}

function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
