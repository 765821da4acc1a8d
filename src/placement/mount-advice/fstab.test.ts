import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { editFstab, FSTAB_MARK, fstabLine } from './fstab.js';

const ENTRY = { source: '10.0.0.1:/', mountPoint: '/mnt/calyx', options: 'ro,vers=4.2' };
const LINE = '10.0.0.1:/ /mnt/calyx nfs ro,vers=4.2,_netdev,nofail 0 0';
// As an installer of Debian writes it, with tabs, comments and a line without an end of line.
const DEBIAN =
  '# /etc/fstab: static file system information.\nUUID=0a1b / ext4 errors=remount-ro 0 1\n\n/dev/sr0\t/media/cdrom0\tudf,iso9660 user,noauto 0 0\nUUID=9 none swap sw 0 0';

describe('fstab', () => {
  it('gets the line at its end, and every other line stays as it is', () => {
    expect(editFstab(`${DEBIAN}\n`, ENTRY)).toBe(`${DEBIAN}\n${FSTAB_MARK}\n${LINE}\n`);
    expect(editFstab(DEBIAN, ENTRY)).toBe(`${DEBIAN}\n${FSTAB_MARK}\n${LINE}\n`);
    expect(editFstab('', ENTRY)).toBe(`${FSTAB_MARK}\n${LINE}\n`);
  });

  it('has our own earlier line replaced, where it stands', () => {
    const before = `${DEBIAN}\n${FSTAB_MARK}\nold:/ /mnt/calyx/ nfs vers=3 0 0\ntmpfs /tmp tmpfs defaults 0 0\n`;
    expect(editFstab(before, ENTRY)).toBe(
      `${DEBIAN}\n${FSTAB_MARK}\n${LINE}\ntmpfs /tmp tmpfs defaults 0 0\n`,
    );
    expect(editFstab(editFstab(before, ENTRY), ENTRY)).toBe(editFstab(before, ENTRY));
  });

  it('keeps our line for another mount point', () => {
    const both = editFstab(editFstab('', ENTRY), { ...ENTRY, mountPoint: '/mnt/other' });
    expect(both.split('\n').filter((line) => line === FSTAB_MARK)).toHaveLength(2);
    expect(both).toContain(LINE);
  });

  it.each([
    'server:/x /mnt/calyx nfs ro 0 0',
    'server:/x\t//mnt/calyx/\tnfs\tro\t0 0',
    '  /dev/sdb1 /mnt/calyx ext4 defaults 0 2',
    '/dev/sdb1 /mnt/\\143alyx ext4 defaults 0 2',
  ])('refuses a mount point that a line of someone else has: %s', async (line) => {
    await expectError(
      () => editFstab(`${DEBIAN}\n${line}\n`, ENTRY),
      'exists',
      '/mnt/calyx',
      '--mount-point',
    );
  });

  it('takes no comment and no swap for a mount point', () => {
    const text = '# x /mnt/calyx nfs\nUUID=1 none swap sw 0 0\nUUID=2 swap swap sw 0 0\n';
    expect(editFstab(text, ENTRY)).toBe(`${text}${FSTAB_MARK}\n${LINE}\n`);
  });

  it('writes blanks as fstab(5) says', () => {
    expect(fstabLine({ source: 'h:/a b', mountPoint: '/mnt/my\tmodels', options: 'ro' })).toBe(
      'h:/a\\040b /mnt/my\\011models nfs ro,_netdev,nofail 0 0',
    );
  });
});
