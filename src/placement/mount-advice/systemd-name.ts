import { CalyxError } from '../../core/errors.js';

/**
 * The name of the unit for a mount point, as `systemd-escape --path` makes it (systemd.unit(5), "string escaping for inclusion in
 * unit names").
 *
 * @throws CalyxError `usage` if the path is relative, or has `..` in it
 */
export function escapePath(path: string): string {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (!path.startsWith('/') || parts.includes('..') || path.includes('\0'))
    throw new CalyxError('usage', `'${path}' is not an absolute path without '..'`, {
      hint: 'write the mount point as /mnt/calyx',
    });
  if (parts.length === 0) return '-';
  return [...Buffer.from(parts.join('/'))].map(escapeByte).join('');
}

function escapeByte(byte: number, index: number): string {
  const character = String.fromCharCode(byte);
  if (character === '/') return '-';
  // A leading dot would hide the file of the unit.
  if (/[\dA-Za-z:_]/.test(character) || (character === '.' && index > 0)) return character;
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}

/** A word of a command line in a unit (systemd.service(5), "command lines"): nothing in it is expanded or split. */
export function quoteUnitWord(word: string): string {
  const safe = word
    .replaceAll('\\', '\\\\')
    .replaceAll('"', '\\"')
    .replaceAll('\n', '\\n')
    .replaceAll('%', '%%')
    .replaceAll('$', '$$$$');
  return `"${safe}"`;
}

/** A value of a setting in a unit: specifiers (`%n`) are not expanded. */
export function unitValue(value: string): string {
  return value.replaceAll('%', '%%');
}
