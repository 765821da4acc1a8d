import { describe, expect, test } from 'vitest';
import {
  compoundArguments,
  exchangeIdOp,
  op,
  opaque,
  PUTROOTFH,
  TestClient,
  TestServer,
  walk,
} from '../../../test/support/nfs4-client.js';
import { words } from '../../../test/support/raw-rpc.js';
import { XdrError } from '../xdr/xdr-error.js';
import { NFS4 } from './status.js';

describe('COMPOUND (RFC 8881, section 16.2)', () => {
  test('without operations it is OK, with the tag that came', async () => {
    const { bytes } = await new TestServer().send(compoundArguments(1, [], 'mount'));
    expect(bytes.toString('hex')).toBe('00000000' + '00000005' + '6d6f756e74000000' + '00000000');
  });

  test.each([0, 3, 50])('minor version %i is none of ours, whatever follows', async (minor) => {
    const reply = await new TestServer().send(compoundArguments(minor, [op(9_999)], 't'));
    expect(reply.bytes.toString('hex')).toBe('00002725' + '00000001' + '74000000' + '00000000');
  });

  test.each([
    ['cut off', [0xc3]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['no character', [0xef, 0xbf, 0xbe]],
  ])('a tag that is not text: %s', async (_, bytes) => {
    const args = Buffer.concat([opaque(Uint8Array.from(bytes)), words(1, 0)]);
    expect(await new TestServer().send(args)).toMatchObject({ status: NFS4.INVAL, count: 0 });
  });

  test('a tag of more than 1,024 bytes, or no header, is no COMPOUND', async () => {
    const server = new TestServer();
    await expect(server.send(compoundArguments(1, [], 'x'.repeat(1025)))).rejects.toThrow(XdrError);
    await expect(server.send(words(0, 1))).rejects.toThrow(XdrError);
  });

  test('who may see nothing hears ACCESS and is not remembered', async () => {
    const server = new TestServer({ treeFor: () => undefined });
    expect(await server.compound([exchangeIdOp('client')])).toMatchObject({ status: NFS4.ACCESS, count: 0 });
    expect(server.server.state.clients.size).toBe(0);
  });

  test.each([0, 1, 2, 59, 76, 10_044])('%i is no operation of minor version 1', async (number) => {
    const reply = await new TestServer().compound([op(number)]);
    expect(reply.bytes.toString('hex')).toBe('0000273c' + '00000000' + '00000001' + '0000273c' + '0000273c');
  });

  test.each([
    ['PUTROOTFH first', [PUTROOTFH], NFS4.OP_NOT_IN_SESSION],
    ['SEQUENCE second', [exchangeIdOp('a'), op(53)], NFS4.NOT_ONLY_OP],
    ['CREATE_SESSION and more', [op(43), PUTROOTFH], NFS4.NOT_ONLY_OP],
    ['DESTROY_SESSION and more', [op(44), PUTROOTFH], NFS4.NOT_ONLY_OP],
    ['DESTROY_CLIENTID and more', [op(57), PUTROOTFH], NFS4.NOT_ONLY_OP],
    ['BIND_CONN_TO_SESSION and more', [op(41), PUTROOTFH], NFS4.NOT_ONLY_OP],
    ['arguments that are cut off', [op(42, words(0))], NFS4.BADXDR],
  ])('what stands first: %s', async (_, operations, status) => {
    expect(await new TestServer().compound(operations)).toMatchObject({ status, count: 1 });
  });

  test('what may not stand later', async () => {
    const client = await TestClient.start(new TestServer());
    expect(await client.call([client.sequenceOp(9)])).toMatchObject({ status: NFS4.SEQUENCE_POS, count: 2 });
    const bind = op(41, client.sessionId, words(3, 0));
    expect(await client.call([bind])).toMatchObject({ status: NFS4.NOT_ONLY_OP });
  });

  test.each([20, 30, 35, 36, 39, 7, 19, 46, 47, 48, 49, 50, 51, 54, 56])(
    'operation %i is known but not supported',
    async (number) => {
      const client = await TestClient.start(new TestServer());
      expect(await client.call([op(number)])).toMatchObject({ status: NFS4.NOTSUPP, last: { number } });
    },
  );

  test('ends at the first failure', async () => {
    const client = await TestClient.start(new TestServer());
    const reply = await client.call([...walk('model', 'absent', 'weights'), op(10)]);
    expect(reply).toMatchObject({ status: NFS4.NOENT, count: 4, last: { number: 15, status: NFS4.NOENT } });
  });

  test('more operations announced than sent', async () => {
    const client = await TestClient.start(new TestServer());
    const args = compoundArguments(1, [client.sequenceOp(2)]);
    args.writeUInt32BE(2, 8);
    expect(await client.server.send(args)).toMatchObject({ status: NFS4.BADXDR, count: 1 });
  });
});

describe('what a session can take (RFC 8881, section 18.36.3)', () => {
  const start = (fore: readonly number[]) => TestClient.start(new TestServer(), 'client', { fore });

  test('as many operations as agreed', async () => {
    const client = await start([0, 8192, 8192, 8192, 3, 8, 0]);
    expect(await client.call([PUTROOTFH, PUTROOTFH])).toMatchObject({ status: NFS4.OK });
    const reply = await client.call([PUTROOTFH, PUTROOTFH, PUTROOTFH]);
    expect(reply).toMatchObject({ status: NFS4.TOO_MANY_OPS, count: 1, last: { number: 53 } });
  });

  test('requests up to the agreed size', async () => {
    const client = await start([0, 512, 8192, 8192, 8, 8, 0]);
    const reply = await client.call([PUTROOTFH, op(15, opaque('12345'.repeat(100)))]);
    expect(reply).toMatchObject({ status: NFS4.REQ_TOO_BIG, count: 1, last: { number: 53 } });
  });

  test('a result that does not fit is taken back, and there was always room to say so', async () => {
    // 24 of the RPC header, 12 of COMPOUND, 44 of SEQUENCE, 8 of PUTROOTFH leave 40: GETFH with a handle of
    // 12 takes 24.
    const client = await start([0, 512, 128, 128, 8, 8, 0]);
    expect(await client.call([PUTROOTFH, op(10)])).toMatchObject({ status: NFS4.OK, count: 3 });
    const reply = await client.call([PUTROOTFH, op(10), op(10)]);
    expect(reply).toMatchObject({ status: NFS4.REP_TOO_BIG, count: 4, last: { number: 10 } });
    expect(reply.bytes.byteLength + 24).toBeLessThanOrEqual(128);
    expect(reply.last.body).toHaveLength(0);
  });

  test('a result that could not be kept', async () => {
    const client = await start([0, 512, 4096, 120, 8, 8, 0]);
    const operations = [PUTROOTFH, op(10), op(10)];
    expect(await client.call(operations)).toMatchObject({ status: NFS4.OK });
    expect(await client.call(operations, { keep: true })).toMatchObject({
      status: NFS4.REP_TOO_BIG_TO_CACHE,
    });
  });

  test('not even SEQUENCE could be kept: it fails itself, and its number is free', async () => {
    const client = await start([0, 512, 4096, 10, 8, 8, 0]);
    const reply = await client.server.compound([client.sequenceOp(1, { slot: 3, highest: 3, keep: true })]);
    expect(reply).toMatchObject({ status: NFS4.REP_TOO_BIG_TO_CACHE, count: 1, last: { number: 53 } });
    const again = await client.server.compound([client.sequenceOp(1, { slot: 3, highest: 3 })]);
    expect(again.status).toBe(NFS4.OK);
  });

  test('several READs ask once for room, for all that the reply may take', async () => {
    const server = new TestServer();
    const client = await TestClient.start(server);
    const asked: number[] = [];
    const reserve = (bytes: number): undefined => void asked.push(bytes);
    const read = (count: number): Buffer => op(25, words(0, 0, 0, 0, 0, 0, count));
    await client.call([...walk('model', 'weights'), read(4)], { reserve });
    expect(asked).toEqual([4]);
    asked.length = 0;
    await client.call([...walk('model', 'weights'), read(1), read(7)], { reserve });
    expect(asked).toHaveLength(1);
    // What Linux asks a session to allow in a reply, less what stands before the first READ.
    expect(asked[0]).toBeGreaterThan(1_049_480 - 1024);
    expect(asked[0]).toBeLessThan(1_049_480);
  });
});

test('bytes after the last operation are refused, and the slot goes on as if nothing had come', async () => {
  const client = await TestClient.start(new TestServer());
  const request = compoundArguments(1, [client.sequenceOp(2), PUTROOTFH]);
  await expect(client.server.send(Buffer.concat([request, words(0)]))).rejects.toThrow('4 bytes follow');
  expect((await client.server.send(request)).status).toBe(NFS4.OK);
});
