import { CalyxError } from '../../core/errors.js';
import { adviceOptions, type MountAdvice } from './advise-mount.js';
import { editFstab, fstabHas } from './fstab.js';
import { FILE_MARK, mountUnit, readAheadDropIn, readAheadUnit, type PlannedFile } from './systemd-units.js';
import { readAheadRule } from './udev-rule.js';

/** What mounts at boot: a line of fstab(5), or a unit of systemd. */
export type ApplyKind = 'fstab' | 'systemd';

/** What the machine has. */
export interface ApplyTarget {
  readonly kind: ApplyKind;
  /** Whether systemd is its init. */
  readonly systemd: boolean;
  /** What stands in a file now; undefined if it is not there. */
  existing(path: string): string | undefined;
}

/** A file as it is and as it would be. */
export interface FileChange {
  readonly path: string;
  readonly before: string | undefined;
  readonly after: string;
}

const FSTAB = '/etc/fstab';

/**
 * The files that make an advice last, in the order in which they are to be written: what others refer to comes first. Files that are
 * so already are left out.
 *
 * @throws CalyxError `exists` where something that is not ours has the mount point or the name of a file
 */
export function planFiles(advice: MountAdvice, target: ApplyTarget): FileChange[] {
  const { mountPoint, source } = advice;
  const entry = { source, mountPoint, options: adviceOptions(advice) };
  const fstab = target.existing(FSTAB);
  if (target.kind === 'systemd') {
    if (fstabHas(fstab ?? '', mountPoint))
      throw new CalyxError(
        'exists',
        `${FSTAB} has a line for ${mountPoint}, from which systemd makes a unit`,
        {
          hint: 'use --apply fstab, or remove that line, or choose another --mount-point',
        },
      );
    const readAhead = readAheadUnit(mountPoint, advice.readAheadKb.value);
    return changes([readAhead, mountUnit(entry, readAhead)], target);
  }
  const unit = mountUnit(entry).path;
  if (target.existing(unit) !== undefined)
    throw new CalyxError('exists', `${unit} mounts ${mountPoint} already`, {
      hint: 'use --apply systemd, or remove that unit, or choose another --mount-point',
    });
  const extra = target.systemd ? lastingUnits(advice) : [readAheadRule(mountPoint, advice.readAheadKb.value)];
  const edited = editFstab(fstab ?? '', entry);
  const last = edited === fstab ? [] : [{ path: FSTAB, before: fstab, after: edited }];
  return [...changes(extra, target), ...last];
}

/** What to type once the files are written. */
export function afterApply(
  advice: MountAdvice,
  { kind, systemd }: Pick<ApplyTarget, 'kind' | 'systemd'>,
): string[] {
  const unit = mountUnit({ source: '', mountPoint: advice.mountPoint, options: '' }).path.replace(
    /^.*\//,
    '',
  );
  if (kind === 'systemd') return ['systemctl daemon-reload', `systemctl enable --now '${unit}'`];
  if (systemd) return ['systemctl daemon-reload', `systemctl restart '${unit}'`];
  const [makeDirectory = ''] = advice.commands;
  return [makeDirectory, 'udevadm control --reload', makeDirectory.replace('mkdir -p', 'mount')];
}

function lastingUnits({ mountPoint, readAheadKb }: MountAdvice): PlannedFile[] {
  const readAhead = readAheadUnit(mountPoint, readAheadKb.value);
  return [readAhead, readAheadDropIn(mountPoint, readAhead)];
}

function changes(files: readonly PlannedFile[], target: ApplyTarget): FileChange[] {
  return files.flatMap(({ path, content }) => {
    const before = target.existing(path);
    if (before === content) return [];
    if (before !== undefined && !before.startsWith(`${FILE_MARK}\n`))
      throw new CalyxError('exists', `${path} is there and was not written by calyx advise`, {
        hint: 'move it away, or choose another --mount-point',
      });
    return [{ path, before, after: content }];
  });
}
