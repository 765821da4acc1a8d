import { CalyxError, type ErrorCode } from '../../core/errors.js';

/** Statuses that NFSv3 (RFC 1813, section 2.6), MOUNT (section 5.1.5) and NFSv4 (RFC 8881, section 15.1) have in common. */
const NAMES: ReadonlyMap<number, readonly [name: string, code: ErrorCode]> = new Map([
  [1, ['not owner', 'refused']],
  [2, ['no such file or directory', 'not-found']],
  [5, ['I/O error', 'unreadable']],
  [13, ['access denied', 'refused']],
  [20, ['not a directory', 'not-found']],
  [70, ['stale handle', 'changed']],
  [10_004, ['not supported', 'unsupported']],
  [10_008, ['try again later', 'busy']],
  [10_016, ['another security flavour is wanted', 'refused']],
  [10_021, ['minor version not supported', 'unsupported']],
]);

const HINTS: Readonly<Partial<Record<ErrorCode, string>>> = {
  refused:
    'let the store allow this address (calyx store --nfs ... --allow CIDR), and with --privileged-ports be root',
  'not-found': 'check the path: the store shows /models, /hub and /slices',
};

/** The failure that a server told by a status. */
export function remoteError(status: number, doing: string): CalyxError {
  const [name, code] = NAMES.get(status) ?? [`status ${status}`, 'unavailable'];
  const hint = HINTS[code];
  return new CalyxError(code, `${doing}: ${name}`, hint === undefined ? {} : { hint });
}
