import { readFileSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

/**
 * Where a guest's memory can lie: User-Mode Linux maps a deleted file, also executable. /dev/shm is memory on most machines, but
 * small or not executable in many containers.
 */
export function memoryDirectory(bytes: number): string {
  const { bavail, bsize } = statfsSync('/dev/shm');
  return bavail * bsize >= bytes && executable('/dev/shm') ? '/dev/shm' : tmpdir();
}

function executable(mountPoint: string): boolean {
  const mount = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((line) => line.split(' ')[1] === mountPoint);
  return mount !== undefined && !(mount.split(' ')[3] ?? '').split(',').includes('noexec');
}
