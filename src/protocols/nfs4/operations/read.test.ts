import { describe, expect, it } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  fakeCompound,
  hex,
  runOperation,
  type CompoundChoices,
} from '../../../../test/support/nfs4-compound.js';
import type { FileNode } from '../../../catalog/file-tree.js';
import { CalyxError } from '../../../core/errors.js';
import type { Lease } from '../../../storage/byte-source.js';
import { NFS4 } from '../status.js';

const READ = 25;
const IO_ADVISE = 63;
const SEEK = 69;

const ANONYMOUS = '00000000 00000000 00000000 00000000';
const CURRENT = '00000001 00000000 00000000 00000000';
const OPEN = '00000005 11111111 22222222 33333333';

const BLOB = 'ab'.repeat(32);
const tree = new MemoryTree({ 'hello': 'hello', 'big': [{ blob: BLOB, offset: 100, length: 5_000_000 }] }); // prettier-ignore

function at(name: string, choices: Omit<CompoundChoices, 'tree'> = {}): ReturnType<typeof fakeCompound> {
  return Object.assign(fakeCompound({ tree, ...choices }), { current: tree.at(name) });
}

describe('READ', () => {
  it.each([
    ['the whole file', '00000000 00000000 00000400', '00000001 00000005 68656c6c 6f000000'],
    ['exactly to the end', '00000000 00000001 00000004', '00000001 00000004 656c6c6f'],
    ['the middle', '00000000 00000001 00000003', '00000000 00000003 656c6c00'],
    ['nothing', '00000000 00000001 00000000', '00000000 00000000'],
    ['nothing at the end', '00000000 00000005 00000000', '00000001 00000000'],
    ['at the end', '00000000 00000005 00000010', '00000001 00000000'],
    ['far beyond the end', 'ffffffff ffffffff ffffffff', '00000001 00000000'],
  ])('gives %s', async (_, range, expected) => {
    const compound = at('hello');
    const { status, result } = await runOperation(compound, READ, `${ANONYMOUS} ${range}`);
    expect(status).toBe(NFS4.OK);
    expect(result).toBe(hex(expected));
    expect(compound.log.reads).toEqual([Number(tree.at('hello').fileId)]);
  });

  it('passes on what the source lends, at most 1 MiB, after it has room', async () => {
    const lent = new Uint8Array(1024 * 1024);
    const asked: unknown[] = [];
    let released = 0;
    const read = (...range: unknown[]): Lease => {
      expect(compound.log.reserved).toEqual([1024 * 1024]);
      asked.push(range.slice(0, 3));
      return { parts: [lent], release: () => void (released += 1) };
    };
    const compound = at('big', { source: { read }, room: 2_000_000 });
    const { parts } = await runOperation(compound, READ, `${OPEN} 00000000 00000010 ffffffff`);
    expect(asked).toEqual([[BLOB, 116, 1024 * 1024]]);
    expect(Buffer.from(parts[0] as Uint8Array).toString('hex')).toBe('0000000000100000');
    expect(parts[1]).toBe(lent);
    expect(released).toBe(0);
  });

  it('fits what is left of the reply', async () => {
    // 8 bytes for eof and the length, 4 for data, 3 that would need padding
    const { result } = await runOperation(
      at('hello', { room: 15 }),
      READ,
      `${ANONYMOUS} 0000000000000000 00000005`,
    );
    expect(result).toBe(hex('00000000 00000004 68656c6c'));
    const none = await runOperation(
      at('hello', { room: 11 }),
      READ,
      `${ANONYMOUS} 0000000000000000 00000005`,
    );
    expect(none.status).toBe(NFS4.REP_TOO_BIG);
  });

  it('checks the stateid, and takes the current one where it is meant', async () => {
    const range = '00000000 00000000 00000001';
    const compound = at('hello', { badSequence: 5 });
    expect((await runOperation(compound, READ, `${OPEN} ${range}`)).status).toBe(NFS4.BAD_STATEID);
    expect((await runOperation(compound, READ, `${CURRENT} ${range}`)).status).toBe(NFS4.BAD_STATEID);
    const current = { sequence: 3, other: new Uint8Array(12).fill(7) };
    compound.currentStateId = current;
    expect((await runOperation(compound, READ, `${CURRENT} ${range}`)).status).toBe(NFS4.OK);
    expect(compound.log.states.at(-1)).toBe(current);
    expect(compound.log.reads).toHaveLength(1);
    compound.client = undefined;
    expect((await runOperation(compound, READ, `${OPEN} ${range}`)).status).toBe(NFS4.OP_NOT_IN_SESSION);
  });

  it('refuses directories, nothing, and arguments that are cut off', async () => {
    const range = '00000000 00000000 00000001';
    expect((await runOperation(at(''), READ, `${OPEN} ${range}`)).status).toBe(NFS4.ISDIR);
    const nothing = fakeCompound({ tree });
    expect((await runOperation(nothing, READ, `${OPEN} ${range}`)).status).toBe(NFS4.NOFILEHANDLE);
    expect((await runOperation(at('hello'), READ, OPEN)).status).toBe(NFS4.BADXDR);
  });

  it.each([
    ['unavailable', NFS4.DELAY],
    ['timeout', NFS4.DELAY],
    ['not-found', NFS4.STALE],
    ['corrupt', NFS4.IO],
    ['unreadable', NFS4.IO],
  ] as const)('tells that the source failed with %s', async (code, status) => {
    const failure = new CalyxError(code, 'the source failed');
    const failing = [
      () => Promise.reject(failure),
      (): never => {
        throw failure;
      },
    ];
    for (const read of failing) {
      const compound = at('big', { source: { read } });
      const { status: answer } = await runOperation(compound, READ, `${OPEN} 00000000 00000000 00000001`);
      expect(answer).toBe(status);
      const file = ` of file ${String(tree.at('big').fileId)} of org/name@${'f'.repeat(40)}`;
      expect(compound.log.errors).toEqual([`NFSv4 READ${file} 127.0.0.1: ${String(failure)}`]);
    }
  });

  it('does not complain when nobody waits for the answer', async () => {
    const signal = AbortSignal.abort();
    const compound = at('big', { signal, source: { read: () => Promise.reject(signal.reason as Error) } });
    const { status } = await runOperation(compound, READ, `${OPEN} 00000000 00000000 00000001`);
    expect(status).toBe(NFS4.DELAY);
    expect(compound.log.errors).toEqual([]);
  });
});

describe('SEEK', () => {
  const size = (tree.at('big') as FileNode).size.toString(16).padStart(16, '0');

  it.each([
    ['data where it asks', '00000000 00000007 00000000', '00000000 00000000 00000007'],
    ['a hole only at the end', '00000000 00000007 00000001', `00000001 ${size}`],
  ])('finds %s', async (_, args, expected) => {
    const { status, result } = await runOperation(at('big'), SEEK, `${OPEN} ${args}`);
    expect(status).toBe(NFS4.OK);
    expect(result).toBe(hex(expected));
  });

  it.each([
    ['the end', 'hello', '00000000 00000005 00000000', NFS4.NXIO],
    ['beyond the end', 'hello', '00000001 00000000 00000001', NFS4.NXIO],
    ['other content', 'hello', '00000000 00000000 00000002', NFS4.UNION_NOTSUPP],
    ['in a directory', '', '00000000 00000000 00000000', NFS4.ISDIR],
  ])('refuses %s', async (_, name, args, status) => {
    expect((await runOperation(at(name), SEEK, `${OPEN} ${args}`)).status).toBe(status);
  });
});

describe('operations of minor version 2 that change nothing', () => {
  it('IO_ADVISE follows no hint', async () => {
    const advice = '00000000 00000000 00000000 00000000 00000001 00000002';
    expect(await runOperation(at('big'), IO_ADVISE, `${OPEN} ${advice}`)).toMatchObject({
      status: NFS4.OK,
      result: '00000000',
    });
  });

  it.each([68, 72, 73, 74, 75])('operation %i is not supported', async (number) => {
    expect((await runOperation(at('big'), number)).status).toBe(NFS4.NOTSUPP);
  });
});
