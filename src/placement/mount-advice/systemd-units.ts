import { escapePath, quoteUnitWord, unitValue } from './systemd-name.js';
import type { FstabEntry } from './fstab.js';

/** A file that would be written, at its path below the root of the system. */
export interface PlannedFile {
  readonly path: string;
  readonly content: string;
}

/** Stands at the head of each file that is ours alone, so that a later run may replace it. */
export const FILE_MARK = '# Written by calyx advise; a later run replaces this file.';

const UNITS = '/etc/systemd/system';

/** What mounts at boot, without fstab. It wants `readAhead` if that is given. */
export function mountUnit({ source, mountPoint, options }: FstabEntry, readAhead?: PlannedFile): PlannedFile {
  const wants = readAhead === undefined ? '' : `Wants=${unitName(readAhead)}\n`;
  return {
    path: `${UNITS}/${escapePath(mountPoint)}.mount`,
    content: `${FILE_MARK}
[Unit]
Description=Models of the Calyx store ${unitValue(source)}
After=network-online.target
Wants=network-online.target
${wants}
[Mount]
What=${unitValue(source)}
Where=${unitValue(mountPoint)}
Type=nfs
Options=${unitValue(options)},_netdev

[Install]
WantedBy=remote-fs.target
`,
  };
}

/** What sets how far a mount reads ahead, each time that it is mounted: the number of its device is another each time. */
export function readAheadUnit(mountPoint: string, readAheadKb: number): PlannedFile {
  const name = escapePath(mountPoint);
  const set = `echo ${readAheadKb} > "/sys/class/bdi/$(mountpoint -d "$1")/read_ahead_kb"`;
  return {
    path: `${UNITS}/calyx-read-ahead-${name}.service`,
    // nfsrahead of nfs-utils is called by a rule of udev at each mount and would write its own value over ours.
    content: `${FILE_MARK}
[Unit]
Description=Read ahead ${readAheadKb} KiB below ${unitValue(mountPoint)}
BindsTo=${name}.mount
After=${name}.mount

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStartPre=-udevadm settle --timeout=10
ExecStart=/bin/sh -c ${quoteUnitWord(set)} read-ahead ${quoteUnitWord(mountPoint)}
`,
  };
}

/** Makes a mount that comes from fstab want its read-ahead unit. */
export function readAheadDropIn(mountPoint: string, readAhead: PlannedFile): PlannedFile {
  return {
    path: `${UNITS}/${escapePath(mountPoint)}.mount.d/calyx-read-ahead.conf`,
    content: `${FILE_MARK}\n[Unit]\nWants=${unitName(readAhead)}\n`,
  };
}

function unitName({ path }: PlannedFile): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
