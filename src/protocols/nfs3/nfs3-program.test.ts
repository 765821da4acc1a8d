import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { MemoryTree } from '../../../test/support/memory-tree.js';
import {
  callProcedure,
  hex,
  noBlobs,
  TEST_PEER,
  testExports,
  type TestExports,
} from '../../../test/support/nfs3-call.js';
import { CalyxError } from '../../core/errors.js';
import type { RpcProgram } from '../rpc/rpc-program.js';
import { XdrError } from '../xdr/xdr-error.js';
import { nfs3Program } from './nfs3-program.js';

// All bytes were written out by hand from RFC 1813; numbers of procedures are those of its section 3.

const NULL = 0;
const GETATTR = 1;
const LOOKUP = 3;
const ACCESS = 4;
const READLINK = 5;
const READ = 6;
const READDIR = 16;
const READDIRPLUS = 17;
const FSSTAT = 18;
const FSINFO = 19;
const PATHCONF = 20;

/** nfs_fh3: 12 bytes, `tree` and the file id. */
const ROOT = '0000000c 74726565 00000000 00000002';
const FILE = '0000000c 74726565 00000000 00000003';
const DIR = '0000000c 74726565 00000000 00000004';
const INNER = '0000000c 74726565 00000000 00000005';
const GONE = '0000000c 74726565 00000000 00000099';
const NEVER_MADE = '00000004 deadbeef';

const DIRECTORY_FATTR3 = (fileId: string, seconds: string): string => `
  00000002            # NF3DIR
  0000016d            # mode 0555
  00000001            # nlink
  00000000 00000000   # uid, gid
  00000000 00001000   # size
  00000000 00001000   # used
  00000000 00000000   # rdev
  00000000 ca1bca1b   # fsid
  00000000 ${fileId}  # fileid
  ${seconds} 00000005 # atime
  ${seconds} 00000005 # mtime
  ${seconds} 00000005 # ctime
`;

const FILE_FATTR3 = (fileId: string, size: string): string => `
  00000001            # NF3REG
  00000124            # mode 0444
  00000001            # nlink
  00000000 00000000   # uid, gid
  00000000 ${size}    # size
  00000000 ${size}    # used
  00000000 00000000   # rdev
  00000000 ca1bca1b   # fsid
  00000000 ${fileId}  # fileid
  6553f100 075bcd15   # atime: 1700000000 s, 123456789 ns
  6553f100 075bcd15   # mtime
  6553f100 075bcd15   # ctime
`;

const ROOT_FATTR3 = DIRECTORY_FATTR3('00000002', '5f5e1002');
const FILE_OF_11 = FILE_FATTR3('00000003', '0000000b');
const DIR_FATTR3 = DIRECTORY_FATTR3('00000004', '5f5e1001');
const INNER_FATTR3 = FILE_FATTR3('00000005', '00000001');

let tree: MemoryTree;
let exports: TestExports;
let program: RpcProgram;

beforeEach(() => {
  tree = new MemoryTree({ file: 'hello world', 'dir/inner': 'x' });
  exports = testExports(tree, noBlobs);
  program = nfs3Program(exports);
});

async function expectAnswer(procedure: number, args: string, answer: string): Promise<void> {
  expect((await callProcedure(program, procedure, hex(args))).toString('hex')).toBe(
    hex(answer).toString('hex'),
  );
}

describe('NFS version 3', () => {
  it('is program 100003 with the 22 procedures of RFC 1813', () => {
    expect(program.program).toBe(100_003);
    expect([...program.versions.keys()]).toEqual([3]);
    expect([...(program.versions.get(3) ?? [])].map(([number, { name }]) => `${number} ${name}`)).toEqual([
      '0 NULL', '1 GETATTR', '2 SETATTR', '3 LOOKUP', '4 ACCESS', '5 READLINK', '6 READ', '7 WRITE', '8 CREATE', '9 MKDIR',
      '10 SYMLINK', '11 MKNOD', '12 REMOVE', '13 RMDIR', '14 RENAME', '15 LINK', '16 READDIR', '17 READDIRPLUS', '18 FSSTAT',
      '19 FSINFO', '20 PATHCONF', '21 COMMIT',
    ]); // prettier-ignore
  });

  it('NULL answers nothing', async () => {
    await expectAnswer(NULL, '', '');
  });

  it('GETATTR tells of a directory and of a file', async () => {
    await expectAnswer(GETATTR, ROOT, `00000000 ${ROOT_FATTR3}`);
    await expectAnswer(GETATTR, FILE, `00000000 ${FILE_OF_11}`);
  });

  it('LOOKUP finds an entry', async () => {
    await expectAnswer(
      LOOKUP,
      `${ROOT} 00000004 66696c65 # file`,
      `00000000 ${FILE} 00000001 ${FILE_OF_11} 00000001 ${ROOT_FATTR3}`,
    );
  });

  it('LOOKUP finds an entry that is not listed', async () => {
    tree.hide('dir/inner');
    const dir = DIRECTORY_FATTR3('00000004', '5f5e1002');
    await expectAnswer(
      LOOKUP,
      `${DIR} 00000005 696e6e65 72000000 # inner`,
      `00000000 ${INNER} 00000001 ${INNER_FATTR3} 00000001 ${dir}`,
    );
  });

  it.each([
    ['. of a directory', DIR, '00000001 2e000000', DIR, DIR_FATTR3, DIR_FATTR3],
    ['.. of a directory', DIR, '00000002 2e2e0000', ROOT, ROOT_FATTR3, DIR_FATTR3],
    ['.. of the root', ROOT, '00000002 2e2e0000', ROOT, ROOT_FATTR3, ROOT_FATTR3],
  ])('LOOKUP finds %s', async (_, directory, name, object, attributes, directoryAttributes) => {
    await expectAnswer(
      LOOKUP,
      `${directory} ${name}`,
      `00000000 ${object} 00000001 ${attributes} 00000001 ${directoryAttributes}`,
    );
  });

  it.each([
    ['a name that is not there', ROOT, '00000004 6e6f6e65', '00000002', ROOT_FATTR3],
    ['an empty name', ROOT, '00000000', '00000002', ROOT_FATTR3],
    ['a name that is not UTF-8', ROOT, '00000002 c3280000', '00000002', ROOT_FATTR3],
    ['a name with a slash', ROOT, '00000009 6469722f 696e6e65 72000000', '00000002', ROOT_FATTR3],
    ['a name with a zero', ROOT, '00000005 66696c65 00000000', '00000002', ROOT_FATTR3],
    ['a name of 256 bytes', ROOT, `00000100 ${'61'.repeat(256)}`, '0000003f', ROOT_FATTR3],
    ['an entry of a file', FILE, '00000001 61000000', '00000014', FILE_OF_11],
  ])('LOOKUP refuses %s', async (_, directory, name, status, attributes) => {
    await expectAnswer(LOOKUP, `${directory} ${name}`, `${status} 00000001 ${attributes}`);
    expect(exports.errors).toEqual([]);
  });

  it('LOOKUP that finds nothing tells of the directory as it was before, lest nothing be remembered of what came since', async () => {
    vi.spyOn(tree.root, 'lookup').mockImplementation(() => {
      tree.put('late', 'x');
      return Promise.resolve(undefined);
    });
    await expectAnswer(LOOKUP, `${ROOT} 00000004 6c617465`, `00000002 00000001 ${ROOT_FATTR3}`);
    const since = DIRECTORY_FATTR3('00000002', '5f5e1003');
    await expectAnswer(GETATTR, ROOT, `00000000 ${since}`);
  }); // prettier-ignore

  it('LOOKUP of a name of 255 bytes says that there is none', async () => {
    await expectAnswer(LOOKUP, `${ROOT} 000000ff ${'61'.repeat(255)} 00`, `00000002 00000001 ${ROOT_FATTR3}`);
  });

  it.each([
    ['everything on a file', FILE, FILE_OF_11, '0000003f', '0000001d'], // READ, MODIFY, EXTEND, DELETE
    ['everything on a directory', ROOT, ROOT_FATTR3, '0000003f', '0000001f'], // and LOOKUP
    ['reading a file', FILE, FILE_OF_11, '00000001', '00000001'],
    ['executing a file', FILE, FILE_OF_11, '00000020', '00000000'],
    ['unknown rights', ROOT, ROOT_FATTR3, 'ffffffc0', '00000000'],
  ])(
    'ACCESS grants of %s what the mode grants, and writes',
    async (_, object, attributes, asked, granted) => {
      await expectAnswer(ACCESS, `${object} ${asked}`, `00000000 00000001 ${attributes} ${granted}`);
    },
  );

  it('READLINK says that nothing is a link', async () => {
    await expectAnswer(READLINK, FILE, `00000016 00000001 ${FILE_OF_11}`);
  });

  it.each([
    ['all', '00000000 00000000 00000400', '0000000b 00000001 0000000b 68656c6c 6f20776f 726c6400'],
    ['exactly all', '00000000 00000000 0000000b', '0000000b 00000001 0000000b 68656c6c 6f20776f 726c6400'],
    ['a piece in the middle', '00000000 00000003 00000005', '00000005 00000000 00000005 6c6f2077 6f000000'],
    ['the last byte', '00000000 0000000a 00000001', '00000001 00000001 00000001 64000000'],
    ['nothing at the end', '00000000 0000000b 00000400', '00000000 00000001 00000000'],
    ['nothing far beyond the end', 'ffffffff ffffffff ffffffff', '00000000 00000001 00000000'],
    ['nothing in the middle', '00000000 00000003 00000000', '00000000 00000000 00000000'],
  ])('READ gives %s', async (_, range, answer) => {
    await expectAnswer(READ, `${FILE} ${range}`, `00000000 00000001 ${FILE_OF_11} ${answer}`);
    expect(exports.read).toEqual([3n]);
  });

  it('READ of a directory says that it is one', async () => {
    await expectAnswer(READ, `${ROOT} 00000000 00000000 00000400`, `00000015 00000001 ${ROOT_FATTR3}`);
    expect(exports.read).toEqual([]);
  });

  // A cookie is made of the first 8 bytes of the SHA-256 of the name, here as sha256sum gives them.
  const DOT = '00000000 00000002 00000001 2e000000 00000000 00000001';
  const DOT_DOT = '00000000 00000002 00000002 2e2e0000 00000000 00000002';
  const DIR_ENTRY = '00000000 00000004 00000003 64697200 2b64c6d9 afd8a34e';
  const FILE_ENTRY = '00000000 00000003 00000004 66696c65 3b9c358f 36f0a31b';
  const NO_VERIFIER = '00000000 00000000';

  it('READDIR lists everything, the end included', async () => {
    await expectAnswer(
      READDIR,
      `${ROOT} 00000000 00000000 ${NO_VERIFIER} 00001000`,
      `00000000 00000001 ${ROOT_FATTR3} ${NO_VERIFIER}
       00000001 ${DOT} 00000001 ${DOT_DOT} 00000001 ${DIR_ENTRY} 00000001 ${FILE_ENTRY} 00000000 00000001`,
    );
  });

  it.each([
    ['the second', '00000000 00000001', [DOT_DOT, DIR_ENTRY, FILE_ENTRY]],
    ['the third', '00000000 00000002', [DIR_ENTRY, FILE_ENTRY]],
    ['the last', '2b64c6d9 afd8a34e', [FILE_ENTRY]],
    ['the last, though the one before is gone', '2b64c6d9 afd8a34f', [FILE_ENTRY]],
    ['behind the last', '3b9c358f 36f0a31b', []],
    ['behind everything', 'ffffffff ffffffff', []],
  ])('READDIR goes on with %s, whatever verifier comes back', async (_, cookie, entries) => {
    await expectAnswer(
      READDIR,
      `${ROOT} ${cookie} 01234567 89abcdef 00001000`,
      `00000000 00000001 ${ROOT_FATTR3} ${NO_VERIFIER}
       ${entries.map((entry) => `00000001 ${entry}`).join(' ')} 00000000 00000001`,
    );
  });

  // READDIR3resok: 88 bytes of attributes, 8 of the verifier, 28 for each of these entries, 8 of the end: 104 and 28 each.
  it.each([
    ['0000009f', [DOT], '00000000'], // 159
    ['000000a0', [DOT, DOT_DOT], '00000000'], // 160
    ['000000bb', [DOT, DOT_DOT], '00000000'],
    ['000000bc', [DOT, DOT_DOT, DIR_ENTRY], '00000000'], // 188
    ['000000d7', [DOT, DOT_DOT, DIR_ENTRY], '00000000'],
    ['000000d8', [DOT, DOT_DOT, DIR_ENTRY, FILE_ENTRY], '00000001'], // 216
  ])('READDIR fills the %s bytes that there are, and no more', async (count, entries, eof) => {
    await expectAnswer(
      READDIR,
      `${ROOT} 00000000 00000000 ${NO_VERIFIER} ${count}`,
      `00000000 00000001 ${ROOT_FATTR3} ${NO_VERIFIER}
       ${entries.map((entry) => `00000001 ${entry}`).join(' ')} 00000000 ${eof}`,
    );
  });

  it.each([['00000000'], ['00000067'], ['00000068'], ['00000083']])(
    'READDIR finds %s bytes too small',
    async (count) => {
      await expectAnswer(
        READDIR,
        `${ROOT} 00000000 00000000 ${NO_VERIFIER} ${count}`,
        `00002715 00000001 ${ROOT_FATTR3}`,
      );
    },
  );

  it('READDIR at the end needs room for the end only', async () => {
    await expectAnswer(
      READDIR,
      `${ROOT} 3b9c358f 36f0a31b ${NO_VERIFIER} 00000068`,
      `00000000 00000001 ${ROOT_FATTR3} ${NO_VERIFIER} 00000000 00000001`,
    );
  });

  const PLUS = [
    `${DOT} 00000001 ${ROOT_FATTR3} 00000001 ${ROOT}`,
    `${DOT_DOT} 00000001 ${ROOT_FATTR3} 00000001 ${ROOT}`,
    `${DIR_ENTRY} 00000001 ${DIR_FATTR3} 00000001 ${DIR}`,
    `${FILE_ENTRY} 00000001 ${FILE_OF_11} 00000001 ${FILE}`,
  ];

  // READDIRPLUS3resok: 104 bytes and 28 + 88 + 20 = 136 for each of these entries; dircount: 28 for each.
  it.each([
    ['everything', '00001000', '00001000', 4, '00000001'],
    ['what fits maxcount', '00001000', '00000287', 3, '00000000'], // 647
    ['what fits maxcount exactly', '00001000', '00000288', 4, '00000001'], // 648
    ['what fits dircount', '0000006f', '00001000', 3, '00000000'], // 111
    ['what fits dircount exactly', '00000070', '00001000', 4, '00000001'], // 112
    ['a single entry', '0000001c', '000000f0', 1, '00000000'], // 28, 240
  ])('READDIRPLUS lists %s, with attributes and handles', async (_, dircount, maxcount, entries, eof) => {
    await expectAnswer(
      READDIRPLUS,
      `${ROOT} 00000000 00000000 ${NO_VERIFIER} ${dircount} ${maxcount}`,
      `00000000 00000001 ${ROOT_FATTR3} ${NO_VERIFIER}
       ${PLUS.slice(0, entries).map((entry) => `00000001 ${entry}`).join(' ')} 00000000 ${eof}`,
    );
  }); // prettier-ignore

  it.each([
    ['0000001b', '00001000'],
    ['00001000', '000000ef'],
    ['00000000', '00000000'],
  ])('READDIRPLUS finds %s and %s bytes too small', async (dircount, maxcount) => {
    await expectAnswer(
      READDIRPLUS,
      `${ROOT} 00000000 00000000 ${NO_VERIFIER} ${dircount} ${maxcount}`,
      `00002715 00000001 ${ROOT_FATTR3}`,
    );
  });

  it.each([
    ['READDIR', READDIR, '00001000'],
    ['READDIRPLUS', READDIRPLUS, '00001000 00001000'],
  ])('%s of a file says that it is no directory', async (_, procedure, counts) => {
    await expectAnswer(
      procedure,
      `${FILE} 00000000 00000000 ${NO_VERIFIER} ${counts}`,
      `00000014 00000001 ${FILE_OF_11}`,
    );
  });

  it('FSSTAT tells of a full file system', async () => {
    await expectAnswer(
      FSSTAT,
      ROOT,
      `00000000 00000001 ${ROOT_FATTR3}
       00000001 23456789 00000000 00000000 00000000 00000000  # bytes: all, free, available
       00000000 0000004d 00000000 00000000 00000000 00000000  # files
       00000000`,
    );
  });

  it('FSINFO tells how much to ask for', async () => {
    await expectAnswer(
      FSINFO,
      ROOT,
      `00000000 00000001 ${ROOT_FATTR3}
       00100000 00100000 00001000  # rtmax, rtpref, rtmult
       00010000 00010000 00001000  # wtmax, wtpref, wtmult
       00010000                    # dtpref
       7fffffff ffffffff           # maxfilesize
       00000000 00000001           # time_delta
       00000008                    # FSF3_HOMOGENEOUS`,
    );
  });

  it('PATHCONF tells how names are', async () => {
    await expectAnswer(
      PATHCONF,
      FILE,
      `00000000 00000001 ${FILE_OF_11} 00000001 000000ff 00000001 00000001 00000000 00000001`,
    );
  });

  const READERS: readonly [name: string, number: number, rest: string, failedWithoutNode: string][] = [
    ['GETATTR', GETATTR, '', ''],
    ['LOOKUP', LOOKUP, '00000001 61000000', '00000000'],
    ['ACCESS', ACCESS, '0000003f', '00000000'],
    ['READLINK', READLINK, '', '00000000'],
    ['READ', READ, '00000000 00000000 00000001', '00000000'],
    ['READDIR', READDIR, '00000000 00000000 00000000 00000000 00001000', '00000000'],
    ['READDIRPLUS', READDIRPLUS, '00000000 00000000 00000000 00000000 00001000 00001000', '00000000'],
    ['FSSTAT', FSSTAT, '', '00000000'],
    ['FSINFO', FSINFO, '', '00000000'],
    ['PATHCONF', PATHCONF, '', '00000000'],
  ];

  it.each(READERS)(
    '%s knows stale and foreign handles, and who may see nothing',
    async (_, number, rest, body) => {
      await expectAnswer(number, `${GONE} ${rest}`, `00000046 ${body}`);
      await expectAnswer(number, `${NEVER_MADE} ${rest}`, `00002711 ${body}`);
      await expectAnswer(number, `00000000 ${rest}`, `00002711 ${body}`);
      exports.tree = undefined;
      await expectAnswer(number, `${ROOT} ${rest}`, `0000000d ${body}`);
      expect(exports.errors).toEqual([]);
    },
  );

  it.each(READERS)('%s answers and reports whatever goes wrong', async (name, number, rest, body) => {
    const unreadable = new CalyxError('unreadable', 'the disk reported an I/O error');
    vi.spyOn(tree, 'find').mockImplementationOnce(() => {
      throw unreadable;
    });
    await expectAnswer(number, `${ROOT} ${rest}`, `00000005 ${body}`);
    const fault = new TypeError('a fault of ours');
    vi.spyOn(tree.root, 'version').mockImplementationOnce(() => {
      throw fault;
    });
    await expectAnswer(number, `${ROOT} ${rest}`, `00000005 ${body}`);
    expect(exports.errors).toEqual([
      { what: `NFSv3 ${name}`, peer: TEST_PEER, error: unreadable },
      { what: `NFSv3 ${name} of directory 2`, peer: TEST_PEER, error: fault },
    ]);
  });

  it.each(READERS)(
    '%s refuses arguments that are cut off, too long or wrongly padded',
    async (_, number, rest) => {
      const whole = hex(`${FILE} ${rest}`);
      for (let length = 0; length < whole.byteLength; length += 4)
        await expect(
          Promise.resolve().then(() => callProcedure(program, number, whole.subarray(0, length))),
          `${length} bytes`,
        ).rejects.toBeInstanceOf(XdrError);
      for (const wrong of [
        `${FILE} ${rest} 00000000`,
        `00000041 ${'00'.repeat(68)} ${rest}`, // a handle of 65 bytes
        `0000000d 74726565 00000000 00000003 01000001 ${rest}`, // padding other than zero
        `ffffffff ${rest}`,
      ])
        await expect(
          Promise.resolve().then(() => callProcedure(program, number, hex(wrong))),
          wrong,
        ).rejects.toBeInstanceOf(XdrError);
    },
  );

  it('answers any bytes with a status or refuses them, and does nothing else', async () => {
    const handles = [ROOT, FILE, DIR, GONE, NEVER_MADE].map((handle) => hex(handle));
    const args = fc.tuple(fc.constantFrom(...handles, Buffer.alloc(0)), fc.uint8Array({ maxLength: 120 }));
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 21 }), args, async (number, [handle, rest]) => {
        const given = Buffer.concat([handle, rest.subarray(0, rest.byteLength & ~3)]);
        try {
          expect((await callProcedure(program, number, given)).byteLength).toBeGreaterThanOrEqual(4);
        } catch (error) {
          expect(error).toBeInstanceOf(XdrError);
        }
        expect(exports.errors).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });
});
