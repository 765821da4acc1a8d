import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { isDigest, parseDigest, sha256 } from './digest.js';

// FIPS 180-4 examples; the last two also by coreutils' sha256sum.
const ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('digests', () => {
  it('hashes what its parts make together', () => {
    expect(sha256()).toBe(EMPTY);
    expect(sha256('abc')).toBe(ABC);
    expect(sha256(Uint8Array.of(0x61), '', 'b', Buffer.from('c'))).toBe(ABC);
    expect(sha256('a'.repeat(1_000_000))).toBe(
      'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
    );
  });

  it.each(['', ABC.slice(1), `${ABC}0`, ABC.toUpperCase(), `${ABC}\n`, `../${ABC.slice(3)}`])(
    'refuses %j',
    async (text) => {
      expect(isDigest(text)).toBe(false);
      await expectError(() => parseDigest(text, 'the blob'), 'usage', 'the blob is not a SHA-256');
    },
  );

  it('takes 64 hex digits', () => {
    expect(parseDigest(ABC, 'x')).toBe(ABC);
  });
});
