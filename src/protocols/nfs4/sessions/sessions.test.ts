import { describe, expect, test } from 'vitest';
import {
  exchangeIdOp,
  op,
  opaque,
  openOp,
  PUTROOTFH,
  TestClient,
  TestServer,
  walk,
} from '../../../../test/support/nfs4-client.js';
import { words } from '../../../../test/support/raw-rpc.js';
import { NFS4 } from '../status.js';

describe('DESTROY_SESSION (RFC 8881, section 18.37)', () => {
  test('over a connection that belongs to it', async () => {
    const client = await TestClient.start(new TestServer());
    const destroy = op(44, client.sessionId);
    const connection = client.server.connect();
    const reply = await client.server.compound([destroy], 1, { connection });
    expect(reply.status).toBe(NFS4.CONN_NOT_BOUND_TO_SESSION);
    await client.call([], { connection });
    expect((await client.server.compound([destroy], 1, { connection })).status).toBe(NFS4.OK);
    expect((await client.server.compound([destroy], 1, { connection })).status).toBe(NFS4.BADSESSION);
  });

  test('of the session in use only as the last operation', async () => {
    const client = await TestClient.start(new TestServer());
    const destroy = op(44, client.sessionId);
    expect(await client.call([destroy, PUTROOTFH])).toMatchObject({ status: NFS4.NOT_ONLY_OP, count: 2 });
    expect(await client.call([destroy], { keep: true })).toMatchObject({ status: NFS4.OK, count: 2 });
    expect((await client.call([])).status).toBe(NFS4.BADSESSION);
    // Nothing is kept for a session that is gone.
    expect(client.server.server.state.replies.bytes).toBe(0);
  });
});

describe('DESTROY_CLIENTID (RFC 8881, section 18.50)', () => {
  test('once all sessions and files are gone', async () => {
    const client = await TestClient.start(new TestServer());
    const { server } = client;
    const destroy = op(57, client.clientId);
    expect((await client.call([destroy])).status).toBe(NFS4.CLIENTID_BUSY);
    const opened = await client.call([...walk('model'), openOp('weights')]);
    await server.compound([op(44, client.sessionId)]);
    expect((await server.compound([destroy])).status).toBe(NFS4.CLIENTID_BUSY);
    expect(opened.status).toBe(NFS4.OK);
    server.clock.advance(90_001);
    expect((await server.compound([destroy])).status).toBe(NFS4.OK);
    expect((await server.compound([destroy])).status).toBe(NFS4.STALE_CLIENTID);
    expect(server.held).toHaveLength(0);
  });

  test('of a client that never had a session', async () => {
    const server = new TestServer();
    const id = (await server.compound([exchangeIdOp('a')])).last.body.subarray(0, 8);
    expect((await server.compound([op(57, id)])).status).toBe(NFS4.OK);
  });
});

describe('BIND_CONN_TO_SESSION (RFC 8881, section 18.34)', () => {
  test.each([
    ['fore', 1, 1],
    ['back', 2, 2],
    ['fore or both', 3, 1],
    ['back or both', 7, 3],
  ])('%s', async (_, wish, granted) => {
    const client = await TestClient.start(new TestServer());
    const connection = client.server.connect();
    const bind = op(41, client.sessionId, words(wish, 0));
    const reply = await client.server.compound([bind], 1, { connection });
    expect(reply.last.body).toEqual(Buffer.concat([client.sessionId, words(granted, 0)]));
    const destroy = await client.server.compound([op(44, client.sessionId)], 1, { connection });
    expect(destroy.status).toBe(NFS4.OK);
  });

  test('of a session that is not known', async () => {
    const bind = op(41, Buffer.alloc(16), words(3, 0));
    expect((await new TestServer().compound([bind])).status).toBe(NFS4.BADSESSION);
  });
});

test('BACKCHANNEL_CTL takes every kind of security', async () => {
  const client = await TestClient.start(new TestServer());
  const sys = [words(1, 5), opaque('machine'), words(7, 11, 2, 13, 17)];
  const gss = [words(6, 3), opaque('server'), opaque('client')];
  const control = op(40, words(0x4000_0000, 3, 0), ...sys, ...gss);
  expect(await client.call([control])).toMatchObject({ status: NFS4.OK, last: { number: 40 } });
});

describe('RECLAIM_COMPLETE (RFC 8881, section 18.51)', () => {
  test('once; for one file system as often as one likes, with a filehandle', async () => {
    const client = await TestClient.start(new TestServer(), 'client', { reclaimed: false });
    const complete = (one: number) => op(58, words(one));
    expect((await client.call([complete(1)])).status).toBe(NFS4.NOFILEHANDLE);
    expect((await client.call([PUTROOTFH, complete(1)])).status).toBe(NFS4.OK);
    expect((await client.call([complete(0)])).status).toBe(NFS4.OK);
    expect((await client.call([complete(0)])).status).toBe(NFS4.COMPLETE_ALREADY);
    expect((await client.call([PUTROOTFH, complete(1)])).status).toBe(NFS4.OK);
  });
});
