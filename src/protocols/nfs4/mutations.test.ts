import { describe, expect, test } from 'vitest';
import { op, opaque, PUTROOTFH, TestClient, TestServer } from '../../../test/support/nfs4-client.js';
import { words } from '../../../test/support/raw-rpc.js';
import { NFS4 } from './status.js';

const ID = words(0, 0, 0, 0);
const SAVEFH = op(32);
const MODE = [words(1, 0x2), opaque(words(0o644))];

const MUTATIONS: readonly (readonly [string, number, Buffer])[] = [
  ['COMMIT', 1, op(5, words(0, 0, 0))],
  ['CREATE of a directory', 1, op(6, words(2), opaque('new'), ...MODE)],
  ['CREATE of a link', 1, op(6, words(5), opaque('target'), opaque('new'), ...MODE)],
  ['CREATE of a device', 1, op(6, words(4, 1, 3), opaque('new'), ...MODE)],
  ['LINK', 1, op(11, opaque('new'))],
  ['REMOVE', 1, op(28, opaque('model'))],
  ['RENAME', 1, op(29, opaque('model'), opaque('new'))],
  ['SETATTR', 1, op(34, ID, ...MODE)],
  ['WRITE', 1, op(38, ID, words(0, 0, 2), opaque('data'))],
  ['ALLOCATE', 2, op(59, ID, words(0, 0, 0, 1))],
  ['COPY', 2, op(60, ID, ID, words(0, 0, 0, 0, 0, 1, 1, 1, 1, 1), opaque('other'))],
  ['DEALLOCATE', 2, op(62, ID, words(0, 0, 0, 1))],
  ['WRITE_SAME', 2, op(70, ID, words(0, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 0), opaque('pattern'))],
  ['CLONE', 2, op(71, ID, ID, words(0, 0, 0, 0, 0, 1))],
];

const start = (minor: number): Promise<TestClient> => TestClient.start(new TestServer(), 'client', { minor });

describe('everything that would change something answers NFS4ERR_ROFS', () => {
  test.each(MUTATIONS)('%s', async (_, minor, operation) => {
    const client = await start(minor);
    expect(await client.call([PUTROOTFH, SAVEFH, operation])).toMatchObject({ status: NFS4.ROFS, count: 4 });
    expect((await client.call([operation])).status).toBe(NFS4.NOFILEHANDLE);
    const cut = await client.call([PUTROOTFH, SAVEFH, operation.subarray(0, 4)]);
    expect(cut.status).toBe(NFS4.BADXDR);
  });

  test.each(MUTATIONS.filter(([, minor]) => minor === 2))(
    '%s is not in minor version 1',
    async (_, __, operation) => {
      const client = await start(1);
      const reply = await client.call([PUTROOTFH, SAVEFH, operation]);
      expect(reply).toMatchObject({ status: NFS4.OP_ILLEGAL, last: { number: 10_044 } });
    },
  );

  test.each([
    ['empty', '', NFS4.INVAL],
    ['a parent', '..', NFS4.BADNAME],
    ['too long', 'x'.repeat(256), NFS4.NAMETOOLONG],
  ])('names are looked at first: %s', async (_, name, status) => {
    const client = await start(1);
    const renames = [op(29, opaque(name), opaque('new')), op(29, opaque('model'), opaque(name))];
    for (const operation of [op(28, opaque(name)), ...renames])
      expect((await client.call([PUTROOTFH, SAVEFH, operation])).status).toBe(status);
  });

  test('LINK and RENAME need the saved filehandle', async () => {
    const client = await start(1);
    expect((await client.call([PUTROOTFH, op(11, opaque('new'))])).status).toBe(NFS4.NOFILEHANDLE);
  });

  test('SETATTR tells which attributes it has set even when it fails: none', async () => {
    const client = await start(1);
    for (const operation of [op(34, ID, ...MODE), op(34)])
      expect((await client.call([PUTROOTFH, operation])).last.body).toEqual(words(0));
  });
});
