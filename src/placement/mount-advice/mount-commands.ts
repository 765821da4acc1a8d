import type { NfsVersion } from './client-facts.js';
import { mountOptions, optionString, type MountSecurity } from './mount-options.js';
import { shellQuote } from '../../core/shell-quote.js';

/** What to mount, and where. */
export interface MountCommandOptions {
  readonly host: string;
  readonly port: number;
  /** One command for each. @default 3, 4.1 and 4.2 */
  readonly versions?: readonly NfsVersion[];
  /** Directory of the store that is mounted. @default / */
  readonly path?: string;
  /** @default /mnt/calyx */
  readonly mountPoint?: string;
  /** @default 1 */
  readonly connections?: number;
  /** @default no TLS */
  readonly security?: MountSecurity | undefined;
}

/** Where a mount goes unless told otherwise. */
export const DEFAULT_MOUNT_POINT = '/mnt/calyx';

/** `HOST:PATH` as mount(8) takes it, an IPv6 address in brackets. */
export function mountSource(host: string, path: string): string {
  return `${host.includes(':') ? `[${host}]` : host}:${path}`;
}

/**
 * The exact commands that mount a store, one for each version, to be typed on a client.
 *
 * @example
 * mountCommands({ host: '10.0.0.1', port: 2049, versions: ['4.2'] })
 */
export function mountCommands({
  host,
  port,
  versions = ['3', '4.1', '4.2'],
  path = '/',
  mountPoint = DEFAULT_MOUNT_POINT,
  connections = 1,
  security,
}: MountCommandOptions): string[] {
  return versions.map((version) => {
    const options = optionString(mountOptions({ version, port, connections, security }));
    const source = shellQuote(mountSource(host, path));
    return `mount -t nfs -o ${options} ${source} ${shellQuote(mountPoint)}`;
  });
}
