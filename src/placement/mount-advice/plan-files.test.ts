import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import type { MountAdvice } from './advise-mount.js';
import { FSTAB_MARK } from './fstab.js';
import { afterApply, planFiles, type ApplyKind, type FileChange } from './plan-files.js';
import { showChange } from './show-change.js';

const ADVICE: MountAdvice = {
  version: { version: '4.2', why: '', speeds: [] },
  connections: { value: 4, why: '', speeds: [] },
  readAheadKb: { value: 4096, why: '', speeds: [] },
  options: [
    { option: 'ro', why: '' },
    { option: 'vers=4.2', why: '' },
  ],
  source: '10.0.0.1:/',
  mountPoint: '/mnt/calyx',
  commands: ['mkdir -p /mnt/calyx'],
  warnings: [],
};
const MOUNT = '/etc/systemd/system/mnt-calyx.mount';
const READ_AHEAD = '/etc/systemd/system/calyx-read-ahead-mnt-calyx.service';
const DROP_IN = '/etc/systemd/system/mnt-calyx.mount.d/calyx-read-ahead.conf';

function plan(kind: ApplyKind, systemd: boolean, files: Readonly<Record<string, string>>): FileChange[] {
  return planFiles(ADVICE, { kind, systemd, existing: (path) => files[path] });
}
const paths = (changes: readonly FileChange[]): string[] => changes.map(({ path }) => path);

describe('what is written', () => {
  it('is fstab last, after what it refers to', () => {
    const files = { '/etc/fstab': 'UUID=1 / ext4 defaults 0 1\n' };
    expect(paths(plan('fstab', true, files))).toEqual([READ_AHEAD, DROP_IN, '/etc/fstab']);
    expect(paths(plan('fstab', false, files))).toEqual([
      '/etc/udev/rules.d/99-zz-calyx-mnt-calyx.rules',
      '/etc/fstab',
    ]);
    expect(paths(plan('systemd', true, files))).toEqual([READ_AHEAD, MOUNT]);
  });

  it('is nothing when all is there already', () => {
    for (const kind of ['fstab', 'systemd'] as const) {
      const written = Object.fromEntries(plan(kind, true, {}).map(({ path, after }) => [path, after]));
      expect(plan(kind, true, written)).toEqual([]);
    }
  });

  it('is refused where something else has the mount point', async () => {
    await expectError(() => plan('fstab', true, { [MOUNT]: 'x' }), 'exists', MOUNT, '--apply systemd');
    const line = `${FSTAB_MARK}\nold:/ /mnt/calyx nfs ro 0 0\n`;
    await expectError(() => plan('systemd', true, { '/etc/fstab': line }), 'exists', '/etc/fstab');
    await expectError(() => plan('systemd', true, { [READ_AHEAD]: '[Unit]\n' }), 'exists', READ_AHEAD);
  });

  it('is followed by the commands that make it work', () => {
    expect(afterApply(ADVICE, { kind: 'systemd', systemd: true })).toEqual([
      'systemctl daemon-reload',
      "systemctl enable --now 'mnt-calyx.mount'",
    ]);
    expect(afterApply(ADVICE, { kind: 'fstab', systemd: false })).toEqual([
      'mkdir -p /mnt/calyx',
      'udevadm control --reload',
      'mount /mnt/calyx',
    ]);
  });

  it('is shown as diff -U 2 shows it', () => {
    // Made by diff -U 2 of GNU diffutils, but for the dates.
    expect(showChange({ path: 'f', before: 'a\nb\nc\nd\ne\nf\n', after: 'a\nb\nc\nX\ne\nf\n' })).toBe(
      '--- f\n+++ f\n@@ -2,5 +2,5 @@\n b\n c\n-d\n+X\n e\n f',
    );
    expect(showChange({ path: 'f', before: 'a\nb\nc\n', after: 'a\nb\nc\nd\n' })).toBe(
      '--- f\n+++ f\n@@ -2,2 +2,3 @@\n b\n c\n+d',
    );
    expect(showChange({ path: 'f', before: 'a\n', after: 'b\n' })).toBe('--- f\n+++ f\n@@ -1 +1 @@\n-a\n+b');
    expect(showChange({ path: 'f', before: undefined, after: 'a\nb\n' })).toBe(
      '--- /dev/null\n+++ f\n@@ -0,0 +1,2 @@\n+a\n+b',
    );
  });
});
