import { homedir } from 'node:os';
import { join } from 'node:path';
import { CalyxError } from '../core/errors.js';

/** The store's data directory unless `--data` is given: `CALYX_DATA`, else under the XDG data directory. */
export function defaultDataDirectory(): string {
  const { CALYX_DATA: own, XDG_DATA_HOME: xdg } = process.env;
  if (own) return own;
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.local', 'share'), 'calyx', 'store');
}

/** The directory that an option names, or the default; throws CalyxError `usage` for an empty name, as of an unset variable. */
export function chosenDirectory(option: string | undefined, standard: () => string): string {
  if (option === '')
    throw new CalyxError('usage', '--data names no directory', {
      hint: 'is a variable in the command unset?',
    });
  return option ?? standard();
}

/** Where a node keeps its slices unless `--data` is given: `CALYX_NODE_DATA`, else under the XDG cache directory. */
export function defaultNodeDirectory(): string {
  const { CALYX_NODE_DATA: own, XDG_CACHE_HOME: xdg } = process.env;
  if (own) return own;
  return join(xdg !== undefined && xdg !== '' ? xdg : join(homedir(), '.cache'), 'calyx', 'node');
}

export { DEFAULT_STORE_ADDRESS as DEFAULT_LISTEN } from '../app/join/store-urls.js';
/** Where a store on this machine serves NFS by default. */
export const DEFAULT_NFS = '127.0.0.1:2049';
