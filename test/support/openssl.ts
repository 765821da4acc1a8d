import { spawnSync } from 'node:child_process';
import { missing } from './outside-tools.js';

/** Why the openssl command cannot be used, or undefined. */
export const noOpenssl = missing('openssl', 'version');

/** What openssl said, and whether it was content. */
export interface OpensslAnswer {
  readonly ok: boolean;
  /** Both of its outputs. */
  readonly text: string;
}

/** Runs the openssl command in a directory. */
export function openssl(directory: string, ...args: string[]): OpensslAnswer {
  const { status, stdout, stderr } = spawnSync('openssl', args, {
    cwd: directory,
    encoding: 'utf8',
    timeout: 30_000,
  });
  return { ok: status === 0, text: `${stdout}${stderr}` };
}
