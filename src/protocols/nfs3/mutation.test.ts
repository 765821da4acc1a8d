import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryTree } from '../../../test/support/memory-tree.js';
import {
  callProcedure,
  hex,
  noBlobs,
  testExports,
  type TestExports,
} from '../../../test/support/nfs3-call.js';
import type { RpcProgram } from '../rpc/rpc-program.js';
import { XdrError } from '../xdr/xdr-error.js';
import { nfs3Program } from './nfs3-program.js';

// All bytes were written out by hand from RFC 1813, section 3.3.

const DIR = '0000000c 74726565 00000000 00000002';
const FILE = '0000000c 74726565 00000000 00000003';
const GONE = '0000000c 74726565 00000000 00000099';
const NEVER_MADE = '00000004 deadbeef';

const DIR_FATTR3 = `
  00000002 0000016d 00000001 00000000 00000000 00000000 00001000 00000000 00001000 00000000 00000000
  00000000 ca1bca1b 00000000 00000002 5f5e1001 00000005 5f5e1001 00000005 5f5e1001 00000005`;
const FILE_FATTR3 = `
  00000001 00000124 00000001 00000000 00000000 00000000 0000000b 00000000 0000000b 00000000 00000000
  00000000 ca1bca1b 00000000 00000003 6553f100 075bcd15 6553f100 075bcd15 6553f100 075bcd15`;

/** wcc_data without attributes from before. */
const DIR_WCC = `00000000 00000001 ${DIR_FATTR3}`;
const FILE_WCC = `00000000 00000001 ${FILE_FATTR3}`;
const NO_WCC = '00000000 00000000';

const NAME = '00000004 66696c65';
const NOTHING_SET = '00000000 00000000 00000000 00000000 00000000 00000000';
const ALL_SET = `
  00000001 000001a4          # mode 0644
  00000001 000003e8          # uid
  00000001 000003e8          # gid
  00000001 00000000 00000000 # size
  00000001                   # atime: the server's
  00000002 6553f100 00000000 # mtime: the client's
`;

const ROFS = '0000001e';
const STALE = '00000046';
const BADHANDLE = '00002711';
const ACCES = '0000000d';

type Case = readonly [
  name: string,
  number: number,
  args: (first: string) => string,
  failed: string,
  noNode: string,
  first: string,
];

const CASES: readonly Case[] = [
  ['SETATTR', 2, (first) => `${first} ${ALL_SET} 00000000`, FILE_WCC, NO_WCC, FILE],
  ['SETATTR, guarded', 2, (first) => `${first} ${NOTHING_SET} 00000001 6553f100 075bcd15`, DIR_WCC, NO_WCC, DIR],
  ['WRITE', 7, (first) => `${first} 00000000 00000005 00000003 00000002 00000003 61626300`, FILE_WCC, NO_WCC, FILE],
  ['CREATE, unchecked', 8, (first) => `${first} ${NAME} 00000000 ${ALL_SET}`, DIR_WCC, NO_WCC, DIR],
  ['CREATE, guarded', 8, (first) => `${first} ${NAME} 00000001 ${NOTHING_SET}`, DIR_WCC, NO_WCC, DIR],
  ['CREATE, exclusive', 8, (first) => `${first} ${NAME} 00000002 01234567 89abcdef`, DIR_WCC, NO_WCC, DIR],
  ['MKDIR', 9, (first) => `${first} ${NAME} ${ALL_SET}`, DIR_WCC, NO_WCC, DIR],
  ['SYMLINK', 10, (first) => `${first} ${NAME} ${NOTHING_SET} 00000003 2f746d00`, DIR_WCC, NO_WCC, DIR],
  ['MKNOD of a device', 11, (first) => `${first} ${NAME} 00000004 ${ALL_SET} 00000001 00000003`, DIR_WCC, NO_WCC, DIR],
  ['MKNOD of a FIFO', 11, (first) => `${first} ${NAME} 00000007 ${ALL_SET}`, DIR_WCC, NO_WCC, DIR],
  ['MKNOD of a regular file', 11, (first) => `${first} ${NAME} 00000001`, DIR_WCC, NO_WCC, DIR],
  ['REMOVE', 12, (first) => `${first} ${NAME}`, DIR_WCC, NO_WCC, DIR],
  ['RMDIR', 13, (first) => `${first} ${NAME}`, DIR_WCC, NO_WCC, DIR],
  ['RENAME', 14, (first) => `${first} ${NAME} ${DIR} 00000001 61000000`, `${DIR_WCC} ${DIR_WCC}`, `${NO_WCC} ${NO_WCC}`, DIR],
  ['LINK', 15, (first) => `${first} ${DIR} 00000001 61000000`, `00000001 ${FILE_FATTR3} ${DIR_WCC}`, `00000000 ${NO_WCC}`, FILE],
  ['COMMIT', 21, (first) => `${first} 00000000 00000000 00000000`, FILE_WCC, NO_WCC, FILE],
]; // prettier-ignore

let tree: MemoryTree;
let exports: TestExports;
let program: RpcProgram;

beforeEach(() => {
  tree = new MemoryTree({ file: 'hello world' });
  exports = testExports(tree, noBlobs);
  program = nfs3Program(exports);
});

async function expectAnswer(procedure: number, args: string, answer: string): Promise<void> {
  expect((await callProcedure(program, procedure, hex(args))).toString('hex')).toBe(
    hex(answer).toString('hex'),
  );
}

describe('a mutation', () => {
  it.each(CASES)(
    '%s is refused: the file system is read-only',
    async (_, number, args, failed, __, first) => {
      await expectAnswer(number, args(first), `${ROFS} ${failed}`);
      expect(exports.errors).toEqual([]);
    },
  );

  it.each(CASES)(
    '%s first says what is wrong with the handle',
    async (_, number, args, __, noNode, first) => {
      await expectAnswer(number, args(GONE), `${STALE} ${noNode}`);
      await expectAnswer(number, args(NEVER_MADE), `${BADHANDLE} ${noNode}`);
      exports.tree = undefined;
      await expectAnswer(number, args(first), `${ACCES} ${noNode}`);
    },
  );

  it.each(CASES)(
    '%s refuses arguments that are cut off or too long',
    async (_, number, args, __, ___, first) => {
      const whole = hex(args(first));
      for (let length = 0; length < whole.byteLength; length += 4)
        await expect(
          Promise.resolve().then(() => callProcedure(program, number, whole.subarray(0, length))),
          `${length} bytes`,
        ).rejects.toBeInstanceOf(XdrError);
      await expect(
        Promise.resolve().then(() => callProcedure(program, number, hex(`${args(first)} 00000000`))),
      ).rejects.toBeInstanceOf(XdrError);
    },
  );

  it('of two directories tells which handle was good', async () => {
    await expectAnswer(14, `${DIR} ${NAME} ${GONE} ${NAME}`, `${STALE} ${DIR_WCC} ${NO_WCC}`);
    await expectAnswer(15, `${FILE} ${NEVER_MADE} ${NAME}`, `${BADHANDLE} 00000001 ${FILE_FATTR3} ${NO_WCC}`);
  });

  it('WRITE takes 64 KiB, and no byte more', async () => {
    const write = (bytes: number): Buffer =>
      Buffer.concat([hex(`${FILE} 00000000 00000000 00010000 00000000`), lengthOf(bytes), Buffer.alloc((bytes + 3) & ~3)]);
    expect((await callProcedure(program, 7, write(65_536))).subarray(0, 4).toString('hex')).toBe(ROFS);
    await expect(
      Promise.resolve().then(() => callProcedure(program, 7, write(65_537))),
    ).rejects.toThrow('65537 bytes where at most 65536 may stand');
  }); // prettier-ignore
});

function lengthOf(bytes: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32BE(bytes);
  return word;
}
