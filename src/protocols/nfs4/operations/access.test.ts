import { expect, it } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import { fakeCompound, hex, runOperation } from '../../../../test/support/nfs4-compound.js';
import { NFS4 } from '../status.js';

const ACCESS = 3;
const READLINK = 27;
const tree = new MemoryTree({ 'a.txt': 'hello' });

it.each([
  // supported and granted: 0x01 READ, 0x02 LOOKUP, 0x04 MODIFY, 0x08 EXTEND, 0x10 DELETE, 0x20 EXECUTE
  ['of a directory: all but EXECUTE, which has no meaning', '', '0000003f', '0000001f 0000001f'],
  ['of a file: all but LOOKUP, and no EXECUTE', 'a.txt', '0000003f', '0000003d 0000001d'],
  ['of what is asked only', 'a.txt', '00000001', '00000001 00000001'],
  ['of unknown bits', 'a.txt', 'ffffffc0', '00000000 00000000'],
])('ACCESS %s', async (_, name, asked, expected) => {
  const compound = Object.assign(fakeCompound({ tree }), { current: tree.at(name) });
  expect(await runOperation(compound, ACCESS, asked)).toMatchObject({
    status: NFS4.OK,
    result: hex(expected),
  });
});

it('READLINK finds no symbolic link', async () => {
  const compound = fakeCompound({ tree });
  expect((await runOperation(compound, READLINK)).status).toBe(NFS4.NOFILEHANDLE);
  compound.current = tree.at('a.txt');
  expect((await runOperation(compound, READLINK)).status).toBe(NFS4.WRONG_TYPE);
});
