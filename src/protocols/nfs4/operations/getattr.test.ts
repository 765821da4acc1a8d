import { describe, expect, it } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import { fakeCompound, hex, runOperation } from '../../../../test/support/nfs4-compound.js';
import { NFS4 } from '../status.js';

const GETATTR = 9;
const tree = new MemoryTree({ 'a.txt': 'hello' });

const TIME = '00000000 6553f100 075bcd15'; // 1,700,000,000 s and 123,456,789 ns

/** Attributes that the Linux client asks for with each file. */
const FILE_ATTRIBUTES = '0010011a 00b0a23a';
const FILE_VALUES = hex(
  '00000001', // type: NF4REG
  '00000000 00000001', // change
  '00000000 00000005', // size
  '00000000 ca1bca1b 00000000 00000001', // fsid
  '00000000 00000003', // fileid
  '00000124', // mode: 0444
  '00000001', // numlinks
  '00000001 30000000', // owner: "0"
  '00000001 30000000', // owner_group
  '00000000 00000000', // rawdev
  '00000000 00000005', // space_used
  TIME, // time_access
  TIME, // time_metadata
  TIME, // time_modify
  '00000000 00000003', // mounted_on_fileid
);

const SUPPORTED_MINOR_1 = '00000003 fcffafff 40b8be3e 00001802';
const SUPPORTED_MINOR_2 = '00000003 fcffafff 40b8be3e 00049802';

function at(name: string, minorVersion: 1 | 2 = 2): ReturnType<typeof fakeCompound> {
  return Object.assign(fakeCompound({ tree, minorVersion }), { current: tree.at(name) });
}

async function getattr(compound: ReturnType<typeof fakeCompound>, asked: string): Promise<string> {
  const { status, result } = await runOperation(compound, GETATTR, asked);
  expect(status).toBe(NFS4.OK);
  return result;
}

describe('GETATTR', () => {
  it('tells what Linux asks of a file', async () => {
    const result = await getattr(at('a.txt'), `00000002 ${FILE_ATTRIBUTES}`);
    expect(result).toBe(hex('00000002', FILE_ATTRIBUTES, '00000080', FILE_VALUES));
  });

  it('tells type, size and mode of a directory', async () => {
    // Type, size; mode.
    const result = await getattr(at(''), '00000002 00000012 00000002');
    expect(result).toBe(
      hex('00000002 00000012 00000002 00000010', '00000002', '00000000 00001000', '0000016d'),
    );
  });

  it.each([
    [1, SUPPORTED_MINOR_1],
    [2, SUPPORTED_MINOR_2],
  ] as const)('tells what minor version %i supports, and that all of it has a value', async (minor, all) => {
    expect(await getattr(at('', minor), '00000001 00000001')).toBe(hex('00000001 00000001 00000010', all));
    // Every number up to 95 but those that can only be set.
    const result = await getattr(at('', minor), '00000003 ffffffff 7fbeffff fffdfabf');
    expect(result.slice(0, 32)).toBe(hex(all));
  });

  it('tells what a mount needs to know', async () => {
    const result = await getattr(at(''), '00000003 00032065 00000000 00000800');
    expect(result).toBe(
      hex(
        '00000003 00032065 00000000 00000800 0000002c',
        SUPPORTED_MINOR_2,
        '00000000', // fh_expire_type: FH4_PERSISTENT
        '00000000', // link_support
        '00000000', // symlink_support
        '00000000', // aclsupport
        '00000000', // case_insensitive
        '00000001', // case_preserving
        '00000000', // suppattr_exclcreat: no words
      ),
    );
  });

  it('tells the maxima', async () => {
    const result = await getattr(at(''), '00000003 c8000400 40080000 00000002');
    expect(result).toBe(
      hex(
        '00000003 c8000400 40080000 00000002 00000030',
        '0000005a', // lease_time: 90 s
        '7fffffff ffffffff', // maxfilesize
        '00000000 00100000', // maxread
        '00000000 00100000', // maxwrite
        '00000000 00000000 00000001', // time_delta
        '00000000', // fs_layout_types: none
        '00100000', // layout_blksize
      ),
    );
  });

  it('counts for df, and only then', async () => {
    const compound = at('');
    await getattr(compound, `00000002 ${FILE_ATTRIBUTES}`);
    expect(compound.log.statistics).toBe(0);
    const result = await getattr(compound, '00000002 00e00000 00001c00');
    expect(result).toBe(
      hex(
        '00000002 00e00000 00001c00 00000030',
        '00000000 00000000 00000000 00000000 00000000 0000004d', // files_avail, files_free, files_total
        '00000000 00000000 00000000 00000000 00000001 23456789', // space_avail, space_free, space_total
      ),
    );
    expect(compound.log.statistics).toBe(1);
  });

  it('leaves out what it does not have', async () => {
    // acl, archive, and numbers that nobody has given yet
    const asked = '00000008 00005000 00000000 00000000 00000000 00000000 00000000 00000000 80000000';
    expect(await getattr(at('a.txt'), asked)).toBe('0000000000000000');
    // change_attr_type exists from minor version 2 on: NFS4_CHANGE_TYPE_IS_UNDEFINED
    const changeType = '00000003 00000000 00000000 00008000';
    expect(await getattr(at('a.txt'), changeType)).toBe(hex(changeType, '00000004 00000004'));
    expect(await getattr(at('a.txt', 1), changeType)).toBe('0000000000000000');
  });

  it('refuses attributes that can only be set, endless bitmaps, and a missing filehandle', async () => {
    const timeAccessSet = '00000002 00000000 00010000';
    expect((await runOperation(at('a.txt'), GETATTR, timeAccessSet)).status).toBe(NFS4.INVAL);
    const nineWords = `00000009 ${'00000000'.repeat(9)}`;
    expect((await runOperation(at('a.txt'), GETATTR, nineWords)).status).toBe(NFS4.BADXDR);
    const nothing = fakeCompound({ tree });
    expect((await runOperation(nothing, GETATTR, '00000001 00000002')).status).toBe(NFS4.NOFILEHANDLE);
  });
});
