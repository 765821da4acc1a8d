import { describe, expect, it } from 'vitest';
import { directory, MemoryTree } from '../../../../test/support/memory-tree.js';
import { fakeCompound, hex, runOperation } from '../../../../test/support/nfs4-compound.js';
import { CalyxError } from '../../../core/errors.js';
import { NFS4 } from '../status.js';

const GETFH = 10;
const LOOKUP = 15;
const LOOKUPP = 16;
const PUTFH = 22;
const PUTPUBFH = 23;
const PUTROOTFH = 24;
const RESTOREFH = 31;
const SAVEFH = 32;
const SECINFO = 33;
const SECINFO_NO_NAME = 52;

const ROOT = '74726565 00000000 00000002';
const FILE = '74726565 00000000 00000003';

const ok = (result: string): object => ({ status: NFS4.OK, result: hex(result) });
const fresh = (): { tree: MemoryTree; compound: ReturnType<typeof fakeCompound> } => {
  const tree = new MemoryTree({ 'a.txt': 'hello', 'd/e': 'x', 'empty': directory }); // prettier-ignore
  return { tree, compound: fakeCompound({ tree }) };
};
const named = (name: string | Buffer): string => {
  const bytes = Buffer.from(name);
  const padded = Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)]);
  return bytes.byteLength.toString(16).padStart(8, '0') + padded.toString('hex');
};

describe('filehandles', () => {
  it.each([PUTROOTFH, PUTPUBFH])('operation %i goes to the root', async (number) => {
    const { compound } = fresh();
    expect(await runOperation(compound, number)).toMatchObject(ok(''));
    expect(await runOperation(compound, GETFH)).toMatchObject(ok(`0000000c ${ROOT}`));
  });

  it('PUTFH finds a node by its handle, and tells handles that are stale from those that nobody made', async () => {
    const { tree, compound } = fresh();
    expect(await runOperation(compound, PUTFH, `0000000c ${FILE}`)).toMatchObject(ok(''));
    expect(compound.current).toBe(tree.at('a.txt'));
    expect(compound.currentStateId).toEqual({ sequence: 0, other: new Uint8Array(12) });
    tree.remove('a.txt');
    expect((await runOperation(compound, PUTFH, `0000000c ${FILE}`)).status).toBe(NFS4.STALE);
    expect((await runOperation(compound, PUTFH, '00000004 00000000')).status).toBe(NFS4.BADHANDLE);
    expect((await runOperation(compound, PUTFH, '00000000')).status).toBe(NFS4.BADHANDLE);
    const tooLong = `00000084 ${'00'.repeat(132)}`;
    expect((await runOperation(compound, PUTFH, tooLong)).status).toBe(NFS4.BADXDR);
    expect(compound.log.errors).toEqual([]);
  });

  it.each([GETFH, SAVEFH, LOOKUPP])('operation %i needs a current filehandle', async (number) => {
    expect((await runOperation(fresh().compound, number)).status).toBe(NFS4.NOFILEHANDLE);
  });

  it('SAVEFH and RESTOREFH keep the filehandle together with its stateid', async () => {
    const { tree, compound } = fresh();
    expect((await runOperation(compound, RESTOREFH)).status).toBe(NFS4.NOFILEHANDLE);
    const stateId = { sequence: 7, other: new Uint8Array(12).fill(9) };
    compound.current = tree.at('a.txt');
    compound.currentStateId = stateId;
    expect(await runOperation(compound, SAVEFH)).toMatchObject(ok(''));
    await runOperation(compound, PUTROOTFH);
    expect(compound.currentStateId).not.toBe(stateId);
    expect(await runOperation(compound, RESTOREFH)).toMatchObject(ok(''));
    expect(compound.current).toBe(tree.at('a.txt'));
    expect(compound.currentStateId).toBe(stateId);
  });
});

describe('LOOKUP', () => {
  it('goes to an entry', async () => {
    const { tree, compound } = fresh();
    compound.current = tree.root;
    expect(await runOperation(compound, LOOKUP, '00000005 612e7478 74000000')).toMatchObject(ok(''));
    expect(compound.current).toBe(tree.at('a.txt'));
    expect((await runOperation(compound, LOOKUP, named('x'))).status).toBe(NFS4.NOTDIR);
  });

  it.each([
    ['a name that is not there', named('none'), NFS4.NOENT],
    ['no name', named(''), NFS4.INVAL],
    ['the directory itself', named('.'), NFS4.BADNAME],
    ['the directory above', named('..'), NFS4.BADNAME],
    ['a path', named('d/e'), NFS4.BADCHAR],
    ['a zero', named('a\0'), NFS4.BADCHAR],
    ['255 bytes', named('n'.repeat(255)), NFS4.NOENT],
    ['256 bytes', named('n'.repeat(256)), NFS4.NAMETOOLONG],
    ['more bytes than a name can be sent with', named('n'.repeat(70_000)), NFS4.BADXDR],
    ['what is not UTF-8', named(Buffer.from([0xc0, 0xaf])), NFS4.INVAL],
    ['a surrogate', named(Buffer.from([0xed, 0xa0, 0x80])), NFS4.INVAL],
    ['padding that is not zero', '00000001 61000001', NFS4.BADXDR],
  ])('refuses %s', async (_, args, status) => {
    const { tree, compound } = fresh();
    compound.current = tree.root;
    expect((await runOperation(compound, LOOKUP, args)).status).toBe(status);
    expect(compound.current).toBe(tree.root);
  });

  it.each([
    [new CalyxError('not-found', 'removed meanwhile'), NFS4.STALE],
    [new CalyxError('unavailable', 'the store restarts'), NFS4.DELAY],
    [new CalyxError('busy', 'the store is busy'), NFS4.DELAY],
    [new DOMException('late', 'TimeoutError'), NFS4.DELAY],
    [new CalyxError('corrupt', 'wrong bytes'), NFS4.IO],
    [new TypeError('a mistake'), NFS4.SERVERFAULT],
  ])('tells %s as a status, and tells the exports', async (error, status) => {
    const { tree, compound } = fresh();
    compound.current = Object.assign(Object.create(tree.root) as typeof tree.root, {
      fileId: 2n,
      lookup: () => Promise.reject(error),
    });
    expect((await runOperation(compound, LOOKUP, named('a'))).status).toBe(status);
    expect(compound.log.errors).toEqual([`NFSv4 LOOKUP of directory 2 127.0.0.1: ${String(error)}`]);
  });
});

describe('LOOKUPP', () => {
  it('goes up, but not above the root', async () => {
    const { tree, compound } = fresh();
    compound.current = tree.at('d');
    expect(await runOperation(compound, LOOKUPP)).toMatchObject(ok(''));
    expect(compound.current).toBe(tree.root);
    expect((await runOperation(compound, LOOKUPP)).status).toBe(NFS4.NOENT);
    compound.current = tree.at('a.txt');
    expect((await runOperation(compound, LOOKUPP)).status).toBe(NFS4.NOTDIR);
  });
});

describe('SECINFO', () => {
  const FLAVORS = '00000002 00000001 00000000'; // AUTH_SYS, AUTH_NONE

  it('of an entry consumes the filehandle', async () => {
    const { tree, compound } = fresh();
    compound.current = tree.root;
    expect((await runOperation(compound, SECINFO, named('none'))).status).toBe(NFS4.NOENT);
    expect(compound.current).toBe(tree.root);
    expect(await runOperation(compound, SECINFO, named('d'))).toMatchObject(ok(FLAVORS));
    expect((await runOperation(compound, GETFH)).status).toBe(NFS4.NOFILEHANDLE);
  });

  it('without a name is about the filehandle or what is above it', async () => {
    const { tree, compound } = fresh();
    compound.current = tree.root;
    expect((await runOperation(compound, SECINFO_NO_NAME, '00000001')).status).toBe(NFS4.NOENT);
    expect((await runOperation(compound, SECINFO_NO_NAME, '00000002')).status).toBe(NFS4.BADXDR);
    expect(await runOperation(compound, SECINFO_NO_NAME, '00000000')).toMatchObject(ok(FLAVORS));
    expect((await runOperation(compound, SECINFO_NO_NAME, '00000000')).status).toBe(NFS4.NOFILEHANDLE);
    compound.current = tree.at('d');
    expect(await runOperation(compound, SECINFO_NO_NAME, '00000001')).toMatchObject(ok(FLAVORS));
  });
});
