import { describe, expect, it, vi } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import { callProcedure, noBlobs, testExports } from '../../../../test/support/nfs3-call.js';
import type { RpcProgram } from '../../rpc/rpc-program.js';
import { nfs3Program } from '../nfs3-program.js';

const READDIR = 16;
const READDIRPLUS = 17;

interface Entry {
  readonly fileId: bigint;
  readonly name: string;
  readonly cookie: bigint;
  /** Of READDIRPLUS: the file id among the attributes, and the handle. */
  readonly attributes?: bigint | undefined;
  readonly handle?: string | undefined;
}

/** Reads READDIR3resok or READDIRPLUS3resok word by word, without our codecs. */
function parse(answer: Buffer, plus: boolean): { entries: Entry[]; eof: boolean } {
  expect(answer.readUInt32BE(0)).toBe(0);
  let at = 4 + 88 + 8;
  const word = (): number => answer.readUInt32BE((at += 4) - 4);
  const long = (): bigint => answer.readBigUInt64BE((at += 8) - 8);
  const bytes = (): Buffer => {
    const length = word();
    const found = answer.subarray(at, at + length);
    at += (length + 3) & ~3;
    return found;
  };
  const entries: Entry[] = [];
  while (word() === 1) {
    const entry = { fileId: long(), name: bytes().toString(), cookie: long() };
    if (!plus) entries.push(entry);
    else {
      const attributes = word() === 1 ? answer.readBigUInt64BE((at += 84) - 84 + 52) : undefined;
      const handle = word() === 1 ? bytes().toString('hex') : undefined;
      entries.push({ ...entry, attributes, handle });
    }
  }
  const eof = word() === 1;
  expect(at).toBe(answer.byteLength);
  return { entries, eof };
}

function argsFor(directory: Uint8Array, cookie: bigint, ...counts: number[]): Buffer {
  const args = Buffer.alloc(16 + 16 + 4 * counts.length);
  args.writeUInt32BE(12);
  args.set(directory, 4);
  args.writeBigUInt64BE(cookie, 16);
  counts.forEach((count, index) => args.writeUInt32BE(count, 32 + 4 * index));
  return args;
}

interface Listed {
  readonly entries: Entry[];
  readonly calls: number;
}

/** All pages of a directory. */
async function listAll(
  program: RpcProgram,
  directory: Uint8Array,
  bytes: number,
  plus: boolean,
  between: () => void = () => undefined,
): Promise<Listed> {
  const entries: Entry[] = [];
  for (let cookie = 0n, calls = 1; ; calls += 1) {
    const counts = plus ? [bytes, bytes] : [bytes];
    const answer = await callProcedure(
      program,
      plus ? READDIRPLUS : READDIR,
      argsFor(directory, cookie, ...counts),
    );
    expect(answer.byteLength - 4).toBeLessThanOrEqual(bytes);
    const page = parse(answer, plus);
    entries.push(...page.entries);
    if (page.eof) return { entries, calls };
    cookie = page.entries.at(-1)?.cookie ?? expect.fail('an empty page in the middle');
    between();
  }
}

describe('a directory of 10,000 entries', () => {
  const names = Array.from({ length: 10_000 }, (_, index) => `entry-${'é'.repeat(index % 7)}${index}`);
  const tree = new MemoryTree(Object.fromEntries(names.map((name) => [`big/${name}`, name])));
  const big = tree.directoryAt('big');
  const all = ['.', '..', ...names].sort();

  it.each([
    ['READDIRPLUS', true, 65_536],
    ['READDIRPLUS', true, 4096],
    ['READDIRPLUS', true, 777],
    ['READDIR', false, 65_536],
    ['READDIR', false, 1000],
  ])('is listed completely by %s, each name once', async (_, plus, bytes) => {
    const { entries } = await listAll(nfs3Program(testExports(tree, noBlobs)), big.handle, bytes, plus);
    expect(entries.map(({ name }) => name).sort()).toEqual(all);
    const wrong = entries.filter(({ name, fileId, attributes, handle }) => {
      const node = name === '.' ? big : name === '..' ? tree.root : big.entries.get(name);
      if (fileId !== node?.fileId) return true;
      return plus && (attributes !== fileId || handle !== Buffer.from(node.handle).toString('hex'));
    });
    expect(wrong).toEqual([]);
  });

  it('is listed and sorted once for all its pages, and again after a change', async () => {
    big.touch();
    const list = vi.spyOn(big, 'list');
    const program = nfs3Program(testExports(tree, noBlobs));
    const { calls } = await listAll(program, big.handle, 32_768, true);
    expect(calls).toBeGreaterThan(40);
    await listAll(program, big.handle, 32_768, false);
    expect(list).toHaveBeenCalledTimes(1);
    big.touch();
    await listAll(program, big.handle, 65_536, true);
    expect(list).toHaveBeenCalledTimes(2);
    list.mockRestore();
  });

  it('answers no call with more than 64 KiB', async () => {
    const program = nfs3Program(testExports(tree, noBlobs));
    const answer = await callProcedure(
      program,
      READDIRPLUS,
      argsFor(big.handle, 0n, 0xffff_ffff, 0xffff_ffff),
    );
    expect(answer.byteLength).toBeLessThanOrEqual(4 + 65_536);
    expect(answer.byteLength).toBeGreaterThan(65_000);
    expect(parse(answer, true).eof).toBe(false);
  });

  it('goes on at the same place in another server', async () => {
    const answer = await callProcedure(
      nfs3Program(testExports(tree, noBlobs)),
      READDIR,
      argsFor(big.handle, 0n, 4096),
    );
    const { entries } = parse(answer, false);
    const cookie = entries.at(-1)?.cookie ?? 0n;
    const rest: string[] = [];
    const other = nfs3Program(testExports(tree, noBlobs));
    for (let next = cookie, eof = false; !eof;) {
      const page = parse(await callProcedure(other, READDIR, argsFor(big.handle, next, 65_536)), false);
      rest.push(...page.entries.map(({ name }) => name));
      next = page.entries.at(-1)?.cookie ?? next;
      eof = page.eof;
    }
    expect([...entries.map(({ name }) => name), ...rest].sort()).toEqual(all);
  });

  it('has every entry that stays exactly once while others come and go', async () => {
    const changing = new MemoryTree(
      Object.fromEntries(names.slice(0, 1000).map((name) => [`big/${name}`, ''])),
    );
    let changes = 0;
    const { entries } = await listAll(
      nfs3Program(testExports(changing, noBlobs)),
      changing.at('big').handle,
      4096,
      true,
      () => {
        changing.put(`big/new-${changes}`, '');
        changing.remove(`big/${names[changes] ?? ''}`);
        changes += 1;
      },
    );
    expect(changes).toBeGreaterThan(20);
    const listed = entries.map(({ name }) => name);
    expect(new Set(listed).size).toBe(listed.length);
    const stayed = names.slice(changes, 1000);
    expect(listed.filter((name) => stayed.includes(name)).sort()).toEqual(stayed.sort());
  });
});

describe('a listing', () => {
  it('leaves out what went away since, and keeps what cannot be looked up now, without attributes', async () => {
    const tree = new MemoryTree({ here: '1', gone: '2', broken: '3' });
    const broken = new Error('the manifest cannot be read');
    vi.spyOn(tree.root, 'lookup').mockImplementation((name) =>
      name === 'broken'
        ? Promise.reject(broken)
        : Promise.resolve(name === 'gone' ? undefined : tree.at(name)),
    );
    const exports = testExports(tree, noBlobs);
    const program = nfs3Program(exports);
    const { entries } = await listAll(program, tree.root.handle, 4096, true);
    expect(entries.map(({ name }) => name).sort()).toEqual(['.', '..', 'broken', 'here']);
    const found = entries.find(({ name }) => name === 'broken');
    expect(found).toMatchObject({ attributes: undefined, handle: undefined });
    expect(found?.fileId).not.toBe(0n);
    expect(exports.errors.map(({ error }) => error)).toEqual([broken]);
  });

  it('is not remembered when it failed', async () => {
    const tree = new MemoryTree({ here: '1' });
    const failed = vi.spyOn(tree.root, 'list').mockRejectedValueOnce(new Error('the disk is away'));
    const program = nfs3Program(testExports(tree, noBlobs));
    const answer = await callProcedure(program, READDIR, argsFor(tree.root.handle, 0n, 4096));
    expect(answer.readUInt32BE(0)).toBe(5);
    const { entries } = await listAll(program, tree.root.handle, 4096, false);
    expect(entries.map(({ name }) => name)).toEqual(['.', '..', 'here']);
    expect(failed).toHaveBeenCalledTimes(2);
  });
});
