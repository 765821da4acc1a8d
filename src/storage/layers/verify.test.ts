import { describe, expect, it } from 'vitest';
import { bytesOf } from '../../../test/support/blobs.js';
import { expectError } from '../../../test/support/expect-error.js';
import { failure, fast, fastError, ScriptedSource, slow, slowError, type Answer } from '../../../test/support/scripted-source.js'; // prettier-ignore
import { VerifyLayer, WrongChunkError, type ChunkDigest } from './verify.js';

const BLOB = 'b'.repeat(64);
// SHA-256 by coreutils' sha256sum.
const CHUNKS: readonly ChunkDigest[] = [
  { offset: 0, length: 4, digest: '9f2e6d33a3717ee826353a404ba4618d1aeeb6879ad7936bce8ed5f46814924d' }, // head
  { offset: 4, length: 6, digest: 'cf4051ef5db4ce6e38aa9e5e2bc54993328ac077a19a8db4a8beff792afed5a9' }, // tensor
  { offset: 10, length: 4, digest: '0c62f876ef1dea830de9f32c2f4b46dd6d74d50d15896e09ef5a2fcd4ac7e1d7' }, // tail
];

const over = (...answers: Answer[]) => {
  const source = new ScriptedSource('http://store', answers);
  const lookups: string[] = [];
  const layer = new VerifyLayer(source, (blob, offset, length) => {
    lookups.push(`${offset}+${length}`);
    return blob === BLOB
      ? CHUNKS.filter((c) => c.offset < offset + length && offset < c.offset + c.length)
      : undefined;
  });
  return { source, layer, lookups };
};

describe('VerifyLayer', () => {
  it.each([
    ['Fast', fast],
    ['Slow', slow],
  ])('%s: reads whole chunks and passes on what was asked for', async (_, answer) => {
    const { source, layer, lookups } = over(answer('headte', '', 'nsor'));
    const lease = await layer.read(BLOB, 2, 5);
    expect(bytesOf(lease).toString()).toBe('adten');
    expect(source.reads).toEqual(['0+10']);
    expect(lookups).toEqual(['2+5']);
    expect(source.onLoan).toBe(1);
    lease.release();
    expect(source.onLoan).toBe(0);
  });

  it.each([
    ['FastError', fastError],
    ['SlowError', slowError],
  ])('%s: passes the error on as it is', async (_, answer) => {
    const error = failure('timeout', 'http://store sent nothing');
    const { layer, source } = over(answer(error));
    await expect(layer.read(BLOB, 0, 4)).rejects.toBe(error);
    expect(source.reads).toHaveLength(1);
  });

  it.each([
    ['in the first chunk', ['Head', 'tensor'], CHUNKS[0]],
    ['in the last chunk', ['head', 'tensoR'], CHUNKS[1]],
    ['swapped', ['tensor', 'head'], CHUNKS[0]],
    ['missing at the end', ['head', 'tenso'], CHUNKS[1]],
    ['zero', ['\0\0\0\0', '\0\0\0\0\0\0'], CHUNKS[0]],
  ])('lets no byte out when bytes are wrong: %s', async (_, pieces, chunk) => {
    const { layer, source } = over(slow(...pieces));
    // Only the second chunk's bytes are asked for; what was read beside them counts all the same.
    const error = await expectError(
      () => layer.read(BLOB, 3, 3),
      'corrupt',
      'http://store sent wrong bytes',
      BLOB,
    );
    expect(error).toBeInstanceOf(WrongChunkError);
    expect(error).toMatchObject({ source: 'http://store', blob: BLOB, chunk });
    expect(error.message).toContain(`${chunk?.length} at ${chunk?.offset}`);
    expect(source.onLoan).toBe(0);
  });

  it('refuses ranges past the chunks that are known, before it reads', async () => {
    const { layer, source } = over();
    await expectError(() => layer.read(BLOB, 12, 3), 'usage', '3 bytes at 12', BLOB);
    await expectError(() => layer.read(BLOB, 14, 1), 'internal', BLOB, 'not known');
    await expectError(
      () => layer.read('c'.repeat(64), 0, 1),
      'internal',
      'c'.repeat(64),
      'cannot be verified',
    );
    expect(source.reads).toEqual([]);
  });

  it('hands the signal down and closes what lies below', async () => {
    const { layer, source } = over(fast('head'));
    const { signal } = new AbortController();
    (await layer.read(BLOB, 0, 4, { signal })).release();
    expect(source.signals).toEqual([signal]);
    await layer.close();
    expect(source.closed).toBe(1);
  });
});
