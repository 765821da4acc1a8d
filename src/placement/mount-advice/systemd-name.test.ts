import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { escapePath, quoteUnitWord, unitValue } from './systemd-name.js';

describe('systemd names', () => {
  // What systemd-escape 252 prints for `systemd-escape --path --suffix=mount PATH`.
  it.each([
    ['/', '-.mount'],
    ['/mnt', 'mnt.mount'],
    ['/mnt/calyx', 'mnt-calyx.mount'],
    ['/mnt/calyx/', 'mnt-calyx.mount'],
    ['//mnt///calyx', 'mnt-calyx.mount'],
    ['/mnt/a-b', 'mnt-a\\x2db.mount'],
    ['/mnt/foo bar', 'mnt-foo\\x20bar.mount'],
    ['/mnt/.hidden', 'mnt-.hidden.mount'],
    ['/.hidden', '\\x2ehidden.mount'],
    ['/mnt/ä', 'mnt-\\xc3\\xa4.mount'],
    ['/mnt/a:b_c.d', 'mnt-a:b_c.d.mount'],
    ['/mnt/50%$x', 'mnt-50\\x25\\x24x.mount'],
    ['/mnt/a\\b', 'mnt-a\\x5cb.mount'],
    ['/mnt/./x', 'mnt-x.mount'],
    ["/mnt/it's", 'mnt-it\\x27s.mount'],
  ])('%s is %s', (path, name) => {
    expect(`${escapePath(path)}.mount`).toBe(name);
  });

  it.each(['/a/../b', 'mnt', '', '/a\0b'])('%j is no mount point', async (path) => {
    await expectError(() => escapePath(path), 'usage', 'absolute path');
  });

  it('quotes words so that systemd expands nothing in them (systemd.service(5))', () => {
    expect(quoteUnitWord('echo "$1" 50% \\')).toBe('"echo \\"$$1\\" 50%% \\\\"');
    expect(unitValue('/mnt/50%')).toBe('/mnt/50%%');
  });
});
