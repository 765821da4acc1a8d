import { CalyxError } from '../../core/errors.js';
import { escapePath } from './systemd-name.js';
import { FILE_MARK, type PlannedFile } from './systemd-units.js';

/**
 * A rule that sets how far a mount reads ahead, for machines without systemd. The device appears a moment before the mount is in
 * the table of mounts, so the rule's program looks for it up to 3 s.
 *
 * @throws CalyxError `unsupported` for mount points that cannot stand in a rule
 */
export function readAheadRule(mountPoint: string, readAheadKb: number): PlannedFile {
  const name = escapePath(mountPoint);
  if (!/^[\w@:,./-]+$/.test(mountPoint))
    throw new CalyxError('unsupported', `a rule of udev cannot name ${mountPoint}`, {
      hint: 'choose a --mount-point of letters, digits and . _ - only',
    });
  return {
    // After 99-nfs.rules of nfs-utils, which sets a value of its own.
    path: `/etc/udev/rules.d/99-zz-calyx-${name.replaceAll('\\', '_')}.rules`,
    content: `${FILE_MARK}
SUBSYSTEM=="bdi", ACTION=="add", PROGRAM=="/bin/sh -c '${mountFinder('%k', mountPoint)}'", ATTR{read_ahead_kb}="${readAheadKb}"
`,
  };
}

/**
 * A program for sh that ends well once a device is mounted there. Free of quotes, backslashes and dollars, each of which udev reads in a
 * way of its own.
 *
 * @param device `MAJOR:MINOR`
 */
export function mountFinder(device: string, mountPoint: string): string {
  const blank = '[[:space:]]';
  const number = '[0-9]+';
  const path = mountPoint.replaceAll('.', '[.]');
  // Fields 3 and 5 of mountinfo are the device and the mount point (proc(5)).
  const line = `^${number}${blank}${number}${blank}${device}${blank}[^[:space:]]+${blank}${path}${blank}`;
  return `for i in 1 2 3 4 5 6 7 8 9 10; do grep -Eq ${line} /proc/self/mountinfo && exit 0; sleep 0.3; done; exit 1`;
}
