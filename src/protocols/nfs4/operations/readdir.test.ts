import { describe, expect, it, vi } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  fakeCompound,
  hex,
  runOperation,
  type CompoundChoices,
} from '../../../../test/support/nfs4-compound.js';
import type { TreeNode } from '../../../catalog/file-tree.js';
import { CalyxError } from '../../../core/errors.js';
import { NFS4 } from '../status.js';

const READDIR = 26;
const START = '00000000 00000000';
const NO_VERIFIER = '00000000 00000000';

// Cookies are the first 63 bits of the names' SHA-256, and the order is theirs.
const COOKIES = { a: '4a978112 ca1bbdca', b: '3e23e816 0039594a', c: '2e7d2c03 a9507ae2' };
const FILE_IDS = { a: '00000000 00000003', b: '00000000 00000004', c: '00000000 00000005' };
const FILE_ID = '00000001 00100000';
/** Entry 'a', 'b' or 'c' with its file id: 40 bytes. */
const entry = (name: 'a' | 'b' | 'c'): string =>
  hex('00000001', COOKIES[name], '00000001', Buffer.from(name).toString('hex'), '000000') +
  hex('00000001 00100000 00000008', FILE_IDS[name]);

const abc = (): MemoryTree => new MemoryTree({ a: '1', b: '2', c: '3' });
const words = (...values: number[]): string =>
  values.map((value) => value.toString(16).padStart(8, '0')).join('');

function rootOf(
  tree: MemoryTree,
  choices: Omit<CompoundChoices, 'tree'> = {},
): ReturnType<typeof fakeCompound> {
  return Object.assign(fakeCompound({ tree, ...choices }), { current: tree.root });
}

describe('READDIR', () => {
  it('lists names in the order of their cookies, and goes on after one', async () => {
    const compound = rootOf(abc());
    const first = await runOperation(compound, READDIR, hex(START, NO_VERIFIER, words(0, 4096), FILE_ID));
    expect(first.status).toBe(NFS4.OK);
    expect(first.result).toBe(hex(NO_VERIFIER, entry('c'), entry('b'), entry('a'), '00000000 00000001'));
    const rest = await runOperation(compound, READDIR, hex(COOKIES.b, NO_VERIFIER, words(0, 4096), FILE_ID));
    expect(rest.result).toBe(hex(NO_VERIFIER, entry('a'), '00000000 00000001'));
    const end = await runOperation(compound, READDIR, hex(COOKIES.a, NO_VERIFIER, words(0, 4096), FILE_ID));
    expect(end.result).toBe(hex(NO_VERIFIER, '00000000 00000001'));
  });

  // 16 bytes around the entries, 40 for each
  it.each([
    [16 + 120, ['c', 'b', 'a'], 1],
    [16 + 119, ['c', 'b'], 0],
    [16 + 80, ['c', 'b'], 0],
    [16 + 40, ['c'], 0],
  ] as const)('keeps to %i bytes, whether maxcount or the reply says so', async (bytes, names, eof) => {
    const expected = hex(NO_VERIFIER, ...names.map(entry), '00000000', words(eof));
    const byMaxcount = hex(START, NO_VERIFIER, words(0, bytes), FILE_ID);
    expect((await runOperation(rootOf(abc()), READDIR, byMaxcount)).result).toBe(expected);
    const large = hex(START, NO_VERIFIER, words(0, 100_000), FILE_ID);
    expect((await runOperation(rootOf(abc(), { room: bytes }), READDIR, large)).result).toBe(expected);
  });

  it('says that not even one entry fits', async () => {
    for (const bytes of [0, 15, 16, 16 + 39]) {
      const args = hex(START, NO_VERIFIER, words(0, bytes), FILE_ID);
      expect((await runOperation(rootOf(abc()), READDIR, args)).status).toBe(NFS4.TOOSMALL);
      const large = hex(START, NO_VERIFIER, words(0, 4096), FILE_ID);
      const compound = rootOf(abc(), { room: bytes });
      expect((await runOperation(compound, READDIR, large)).status).toBe(NFS4.REP_TOO_BIG);
    }
  });

  // A cookie and a name of one letter: 8 + 4 + 4 bytes.
  it.each([
    [1, ['c'], 0],
    [31, ['c'], 0],
    [32, ['c', 'b'], 0],
    [48, ['c', 'b', 'a'], 1],
  ] as const)('takes dircount %i as a hint', async (dircount, names, eof) => {
    const args = hex(START, NO_VERIFIER, words(dircount, 4096), FILE_ID);
    const { result } = await runOperation(rootOf(abc()), READDIR, args);
    expect(result).toBe(hex(NO_VERIFIER, ...names.map(entry), '00000000', words(eof)));
  });

  it('lists an empty directory', async () => {
    const args = hex(START, NO_VERIFIER, words(0, 16), '00000000');
    const { result } = await runOperation(rootOf(new MemoryTree()), READDIR, args);
    expect(result).toBe(hex(NO_VERIFIER, '00000000 00000001'));
  });

  it.each([
    ['the cookie of .', '00000000 00000001', NO_VERIFIER, NFS4.BAD_COOKIE],
    ['the cookie of ..', '00000000 00000002', NO_VERIFIER, NFS4.BAD_COOKIE],
    ['a cookie that no listing gave', 'ffffffff ffffffff', NO_VERIFIER, NFS4.BAD_COOKIE],
    ['a verifier that no listing gave', COOKIES.a, '00000000 00000001', NFS4.NOT_SAME],
  ])('refuses %s', async (_, cookie, verifier, status) => {
    const args = hex(cookie, verifier, words(0, 4096), FILE_ID);
    expect((await runOperation(rootOf(abc()), READDIR, args)).status).toBe(status);
  });

  it('refuses files, nothing, and attributes that can only be set', async () => {
    const tree = abc();
    const args = hex(START, NO_VERIFIER, words(0, 4096), FILE_ID);
    const file = Object.assign(fakeCompound({ tree }), { current: tree.at('a') });
    expect((await runOperation(file, READDIR, args)).status).toBe(NFS4.NOTDIR);
    expect((await runOperation(fakeCompound({ tree }), READDIR, args)).status).toBe(NFS4.NOFILEHANDLE);
    const timeModifySet = hex(START, NO_VERIFIER, words(0, 4096), '00000002 00000000 00400000');
    expect((await runOperation(rootOf(tree), READDIR, timeModifySet)).status).toBe(NFS4.INVAL);
  });

  it('leaves out what went away since it was listed', async () => {
    const tree = abc();
    const lookup = tree.root.lookup.bind(tree.root);
    vi.spyOn(tree.root, 'lookup').mockImplementation((name) =>
      name === 'b' ? Promise.resolve(undefined) : lookup(name),
    );
    const args = hex(START, NO_VERIFIER, words(0, 4096), FILE_ID);
    const { result } = await runOperation(rootOf(tree), READDIR, args);
    expect(result).toBe(hex(NO_VERIFIER, entry('c'), entry('a'), '00000000 00000001'));
  });

  it('shows an entry whose attributes cannot be had, if the client asks for rdattr_error', async () => {
    const tree = abc();
    const lookup = tree.root.lookup.bind(tree.root);
    vi.spyOn(tree.root, 'lookup').mockImplementation((name): Promise<TreeNode | undefined> =>
      name === 'b' ? Promise.reject(new CalyxError('corrupt', 'wrong bytes')) : lookup(name),
    );
    const compound = rootOf(tree);
    const strict = hex(START, NO_VERIFIER, words(0, 4096), FILE_ID);
    expect((await runOperation(compound, READDIR, strict)).status).toBe(NFS4.IO);
    const tolerant = hex(COOKIES.c, NO_VERIFIER, words(0, 4096), '00000001 00100800');
    const { result } = await runOperation(compound, READDIR, tolerant);
    expect(result).toBe(
      hex(
        NO_VERIFIER,
        hex('00000001', COOKIES.b, '00000001 62000000 00000001 00000800 00000004 00000005'), // NFS4ERR_IO
        hex('00000001', COOKIES.a, '00000001 61000000 00000001 00100800 0000000c 00000000', FILE_IDS.a),
        '00000000 00000001',
      ),
    );
    expect(compound.log.errors).toHaveLength(2);
  });

  it('lists 10,000 entries, each once, and asks for the names once', async () => {
    const names = Array.from({ length: 10_000 }, (_, index) => `model-${index}.safetensors`);
    const tree = new MemoryTree(Object.fromEntries(names.map((name) => [name, ''])));
    const list = vi.spyOn(tree.root, 'list');
    const compound = rootOf(tree);
    const seen: string[] = [];
    let cookie = Buffer.alloc(8);
    for (let eof = false; !eof;) {
      // What the Linux client asks for, handles among it.
      const args = hex(
        cookie.toString('hex'),
        NO_VERIFIER,
        words(8170, 32_680),
        '00000002 0018091a 00b0a23a',
      );
      const { status, result } = await runOperation(compound, READDIR, args);
      expect(status).toBe(NFS4.OK);
      const bytes = Buffer.from(result, 'hex');
      expect(bytes.byteLength).toBeLessThanOrEqual(32_680);
      let at = 8;
      for (; bytes.readUInt32BE(at) === 1;) {
        cookie = bytes.subarray(at + 4, at + 12);
        const length = bytes.readUInt32BE(at + 12);
        seen.push(bytes.toString('utf8', at + 16, at + 16 + length));
        at += 16 + length + (-length & 3) + 12;
        at += 4 + bytes.readUInt32BE(at);
      }
      eof = bytes.readUInt32BE(at + 4) === 1;
      expect(at + 8).toBe(bytes.byteLength);
    }
    expect(new Set(seen)).toEqual(new Set(names));
    expect(seen).toHaveLength(10_000);
    expect(list).toHaveBeenCalledTimes(1);
    tree.put('another', '');
    await runOperation(compound, READDIR, hex(START, NO_VERIFIER, words(0, 4096), FILE_ID));
    expect(list).toHaveBeenCalledTimes(2);
  });
});
