import { expect, it } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import { fakeCompound, runOperation } from '../../../../test/support/nfs4-compound.js';
import { NFS4 } from '../status.js';

const NVERIFY = 17;
const VERIFY = 37;
const tree = new MemoryTree({ 'a.txt': 'hello' });

it.each([
  ['the size that it has', '00000001 00000010 00000008 00000000 00000005', NFS4.OK, NFS4.SAME],
  ['another size', '00000001 00000010 00000008 00000000 00000006', NFS4.NOT_SAME, NFS4.OK],
  ['a value that is too short', '00000001 00000010 00000004 00000005', NFS4.NOT_SAME, NFS4.OK],
  ['type and size', '00000001 00000012 0000000c 00000001 00000000 00000005', NFS4.OK, NFS4.SAME],
  ['nothing', '00000000 00000000', NFS4.OK, NFS4.SAME],
  ['an ACL', '00000001 00001000 00000004 00000000', NFS4.ATTRNOTSUPP, NFS4.ATTRNOTSUPP],
  ['rdattr_error', '00000001 00000800 00000004 00000000', NFS4.INVAL, NFS4.INVAL],
  ['time_modify_set', '00000002 00000000 00400000 00000004 00000000', NFS4.INVAL, NFS4.INVAL],
  ['values that are cut off', '00000001 00000010 00000008 00000000', NFS4.BADXDR, NFS4.BADXDR],
])('VERIFY and NVERIFY compare %s', async (_, args, verified, nverified) => {
  const compound = Object.assign(fakeCompound({ tree }), { current: tree.at('a.txt') });
  expect((await runOperation(compound, VERIFY, args)).status).toBe(verified);
  expect((await runOperation(compound, NVERIFY, args)).status).toBe(nverified);
});

it('VERIFY needs a current filehandle', async () => {
  expect((await runOperation(fakeCompound({ tree }), VERIFY, '00000000 00000000')).status).toBe(
    NFS4.NOFILEHANDLE,
  );
});
