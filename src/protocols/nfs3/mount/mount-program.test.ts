import { beforeEach, describe, expect, it, vi } from 'vitest';
import { directory, MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  callProcedure,
  hex,
  noBlobs,
  testExports,
  type TestExports,
} from '../../../../test/support/nfs3-call.js';
import { CalyxError } from '../../../core/errors.js';
import type { RpcProgram } from '../../rpc/rpc-program.js';
import { XdrError } from '../../xdr/xdr-error.js';
import { mountProgram } from './mount-program.js';

// All bytes were written out by hand from RFC 1813, section 5.

const NULL = 0;
const MNT = 1;
const DUMP = 2;
const UMNT = 3;
const UMNTALL = 4;
const EXPORT = 5;

let tree: MemoryTree;
let exports: TestExports;
let program: RpcProgram;

beforeEach(() => {
  tree = new MemoryTree({ 'models/org/name/file': 'x', 'slices/org/name/0-4+embed': directory });
  tree.put('hub', directory);
  tree.hide('slices/org/name/0-4+embed');
  exports = testExports(tree, noBlobs);
  program = mountProgram(exports);
});

/** dirpath. */
function path(text: string | Buffer): string {
  const bytes = Buffer.from(text);
  const length = bytes.byteLength.toString(16).padStart(8, '0');
  return `${length} ${bytes.toString('hex')} ${'00'.repeat(-bytes.byteLength & 3)}`;
}

async function expectAnswer(procedure: number, args: string, answer: string): Promise<void> {
  expect((await callProcedure(program, procedure, hex(args))).toString('hex')).toBe(
    hex(answer).toString('hex'),
  );
}

describe('MOUNT version 3', () => {
  it('is program 100005 with the 6 procedures of RFC 1813', () => {
    expect(program.program).toBe(100_005);
    expect([...program.versions.keys()]).toEqual([3]);
    expect([...(program.versions.get(3) ?? [])].map(([number, { name }]) => `${number} ${name}`)).toEqual([
      '0 NULL', '1 MNT', '2 DUMP', '3 UMNT', '4 UMNTALL', '5 EXPORT',
    ]); // prettier-ignore
  });

  it.each([
    ['/', '02'],
    ['', '02'],
    ['///', '02'],
    ['/models', '03'],
    ['/models/', '03'],
    ['models', '03'],
    ['//models//org/name/', '05'],
    ['/models/./org/..', '03'],
    ['/../../models', '03'],
    ['/slices/org/name/0-4+embed', '0a'],
  ])('MNT of %j gives a handle and the flavors AUTH_SYS and AUTH_NONE', async (wanted, fileId) => {
    await expectAnswer(
      MNT,
      path(wanted),
      `00000000 0000000c 74726565 00000000 000000${fileId} 00000002 00000001 00000000`,
    );
  });

  it.each([
    ['what is not there', '/models/org/other', '00000002'],
    ['what is not UTF-8', Buffer.from('/\u00ff', 'latin1'), '00000002'],
    ['a name with a zero', '/models\0', '00000002'],
    ['a file', '/models/org/name/file', '00000014'],
    ['what lies below a file', '/models/org/name/file/more', '00000014'],
    ['a name of 256 bytes', `/${'a'.repeat(256)}`, '0000003f'],
    ['1024 bytes of nothing', '/a'.repeat(512), '00000002'],
  ])('MNT refuses %s', async (_, wanted, status) => {
    await expectAnswer(MNT, path(wanted), status);
    expect(exports.errors).toEqual([]);
  });

  it('MNT refuses whoever may see nothing', async () => {
    exports.tree = undefined;
    await expectAnswer(MNT, path('/'), '0000000d');
  });

  it.each([
    [new CalyxError('unreadable', 'the disk reported an I/O error'), '00000005'],
    [new CalyxError('unavailable', 'busy'), '00002716'],
    [new TypeError('a fault of ours'), '00002716'],
  ])('MNT that fails with %s says so and is reported', async (error, status) => {
    vi.spyOn(tree.root, 'lookup').mockRejectedValue(error);
    await expectAnswer(MNT, path('/models'), status);
    expect(exports.errors).toMatchObject([{ what: 'NFSv3 MNT /models', error }]);
  });

  it.each([[MNT], [UMNT]])('procedure %i takes no path above 1024 bytes', async (number) => {
    await expect(
      Promise.resolve().then(() => callProcedure(program, number, hex(path('/'.repeat(1025))))),
    ).rejects.toBeInstanceOf(XdrError);
  });

  it('EXPORT lists the root and what stands in it', async () => {
    await expectAnswer(
      EXPORT,
      '',
      `00000001 00000001 2f000000            00000000
       00000001 00000007 2f6d6f64 656c7300   00000000
       00000001 00000007 2f736c69 63657300   00000000
       00000001 00000004 2f687562            00000000
       00000000`,
    );
  });

  it('EXPORT shows nothing to whoever may see nothing', async () => {
    exports.tree = undefined;
    await expectAnswer(EXPORT, '', '00000000');
  });

  it('EXPORT that fails is a failed call, and reported', async () => {
    vi.spyOn(tree.root, 'list').mockRejectedValue(new Error('the disk is away'));
    await expect(callProcedure(program, EXPORT, hex(''))).rejects.toThrow('the disk is away');
    expect(exports.errors).toHaveLength(1);
  });

  it('NULL, UMNT and UMNTALL answer nothing, DUMP an empty list', async () => {
    await expectAnswer(NULL, '', '');
    await expectAnswer(UMNT, path('/models'), '');
    await expectAnswer(UMNTALL, '', '');
    await expectAnswer(DUMP, '', '00000000');
  });
});
