import { expect, it } from 'vitest';
import { bytesOf } from '../../test/support/blobs.js';
import { staticLease, subLease } from './byte-source.js';

it.each([
  [0, 9, ['abc', 'defg', 'hi']],
  [0, 3, ['abc']],
  [3, 4, ['defg']],
  [2, 2, ['c', 'd']],
  [1, 7, ['bc', 'defg', 'h']],
  [8, 1, ['i']],
  [4, 0, []],
])('the part of a lease at %i with %i bytes is %j', (offset, length, expected) => {
  let releases = 0;
  const parts = ['abc', '', 'defg', 'hi'].map((text) => Buffer.from(text));
  const part = subLease({ parts, release: () => (releases += 1) }, offset, length);
  expect(part.parts.map((bytes) => Buffer.from(bytes).toString())).toEqual(expected);
  expect(releases).toBe(0);
  part.release();
  expect(releases).toBe(1);
});

it('shares memory with the whole instead of copying it', () => {
  const bytes = Buffer.from('abcdef');
  const part = subLease(staticLease(bytes), 2, 2);
  bytes.write('XY', 2);
  expect(bytesOf(part).toString()).toBe('XY');
});
