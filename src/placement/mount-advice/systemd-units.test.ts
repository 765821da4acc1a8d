import { describe, expect, it } from 'vitest';
import { FILE_MARK, mountUnit, readAheadDropIn, readAheadUnit } from './systemd-units.js';

const ENTRY = { source: '10.0.0.1:/', mountPoint: '/mnt/my-models', options: 'ro,vers=4.2' };

describe('systemd units', () => {
  const readAhead = readAheadUnit('/mnt/my-models', 4096);

  it('a mount unit has the name of its mount point and wants its read-ahead', () => {
    const unit = mountUnit(ENTRY, readAhead);
    expect(unit.path).toBe('/etc/systemd/system/mnt-my\\x2dmodels.mount');
    expect(unit.content.startsWith(FILE_MARK)).toBe(true);
    const lines = unit.content.split('\n');
    expect(lines).toContain('What=10.0.0.1:/');
    expect(lines).toContain('Where=/mnt/my-models');
    expect(lines).toContain('Type=nfs');
    expect(lines).toContain('Options=ro,vers=4.2,_netdev');
    expect(lines).toContain('Wants=calyx-read-ahead-mnt-my\\x2dmodels.service');
    expect(lines).toContain('WantedBy=remote-fs.target');
  });

  it('read-ahead is set anew at each mount', () => {
    expect(readAhead.path).toBe('/etc/systemd/system/calyx-read-ahead-mnt-my\\x2dmodels.service');
    const lines = readAhead.content.split('\n');
    expect(lines).toContain('BindsTo=mnt-my\\x2dmodels.mount');
    expect(lines).toContain('After=mnt-my\\x2dmodels.mount');
    expect(lines).toContain(
      'ExecStart=/bin/sh -c "echo 4096 > \\"/sys/class/bdi/$$(mountpoint -d \\"$$1\\")/read_ahead_kb\\"" read-ahead "/mnt/my-models"',
    );
    expect(readAheadDropIn('/mnt/my-models', readAhead)).toEqual({
      path: '/etc/systemd/system/mnt-my\\x2dmodels.mount.d/calyx-read-ahead.conf',
      content: `${FILE_MARK}\n[Unit]\nWants=calyx-read-ahead-mnt-my\\x2dmodels.service\n`,
    });
  });
});
