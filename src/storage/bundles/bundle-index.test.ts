import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { decodeBundleIndex, encodeBundleIndex } from './bundle-index.js';

const sha = (text: string | Uint8Array): string => createHash('sha256').update(text).digest('hex');

/** An index of three chunks, byte by byte as docs/formats.md says. */
const CHUNKS = [
  { digest: sha('one'), length: 3 },
  { digest: sha('two'), length: 4 * 1024 * 1024 },
  { digest: sha('three'), length: 5 },
];
const BYTES = Buffer.from(
  '63616c797862756e646c65310a000000' + `${sha('one')}03000000${sha('two')}00004000${sha('three')}05000000`,
  'hex',
);

describe('the index of a bundle', () => {
  it('has the bytes of the format, and is named by their SHA-256', () => {
    const { id, bytes } = encodeBundleIndex(CHUNKS);
    expect(Buffer.from(bytes).equals(BYTES)).toBe(true);
    expect(id).toBe(sha(BYTES));
    const { chunks, offsets } = decodeBundleIndex(BYTES, id);
    expect(chunks).toEqual(CHUNKS);
    expect([...offsets]).toEqual([0, 3, 4 * 1024 * 1024 + 3, 4 * 1024 * 1024 + 8]);
  });

  it.each([
    ['other bytes', Buffer.from(BYTES).fill(0, 20, 21)],
    ['too few', BYTES.subarray(0, BYTES.byteLength - 1)],
    ['no header', BYTES.subarray(0, 5)],
    ['nothing', Buffer.alloc(0)],
  ])('is refused with %s', async (_, bytes) => {
    await expectError(() => decodeBundleIndex(bytes, sha(BYTES)), 'corrupt', sha(BYTES));
  });

  it.each([0, 4 * 1024 * 1024 + 1, 0xffffffff])('is refused with a chunk of %i bytes', async (length) => {
    const bytes = Buffer.from(BYTES);
    bytes.writeUInt32LE(length, 16 + 32);
    await expectError(() => decodeBundleIndex(bytes, sha(bytes)), 'corrupt');
  });

  it('is refused with another header', async () => {
    const bytes = Buffer.from(BYTES);
    bytes.write('calyxbundle2', 'latin1');
    await expectError(() => decodeBundleIndex(bytes, sha(bytes)), 'corrupt');
  });
});
