import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { mountFinder, readAheadRule } from './udev-rule.js';

describe('a rule of udev', () => {
  it('comes after that of nfs-utils and sets the value', () => {
    const { path, content } = readAheadRule('/mnt/calyx', 4096);
    expect(path).toBe('/etc/udev/rules.d/99-zz-calyx-mnt-calyx.rules');
    expect(['99-nfs.rules', '99-zz-calyx-mnt-calyx.rules'].sort()[0]).toBe('99-nfs.rules');
    expect(content).toContain('SUBSYSTEM=="bdi", ACTION=="add", PROGRAM=="/bin/sh -c \'');
    expect(content).toContain('\', ATTR{read_ahead_kb}="4096"'.replace("'", '\'"'));
  });

  it('finds a mount of this machine by its device', () => {
    const proc = readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .map((line) => line.split(' '))
      .find((fields) => fields[4] === '/proc');
    const find = (device: string, path: string): number | null =>
      spawnSync('/bin/sh', ['-c', mountFinder(device, path).replace('sleep 0.3', 'sleep 0')]).status;
    expect(find(proc?.[2] ?? '', '/proc')).toBe(0);
    expect(find(proc?.[2] ?? '', '/pro')).toBe(1);
    expect(find('999:999', '/proc')).toBe(1);
  });

  it('names no path that a rule would read in another way', async () => {
    await expectError(() => readAheadRule("/mnt/it's", 4096), 'unsupported', "/mnt/it's");
  });
});
