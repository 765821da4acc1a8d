import { expect, test } from 'vitest';
import { op, PUTROOTFH, TestClient, TestServer, walk } from '../../../../test/support/nfs4-client.js';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import { words } from '../../../../test/support/raw-rpc.js';
import type { RpcConnection } from '../../rpc/rpc-program.js';

const [OK, BADSESSION, NOENT] = [0, 10_052, 2];
const whole = new MemoryTree({ 'model/weights': 'tensors' });
const little = new MemoryTree({ 'other/config': '{}' });

/** Whoever comes from here sees the whole tree, others see another. */
const ALLOWED = '192.0.2.7';

async function start(): Promise<{
  server: TestServer;
  client: TestClient;
  from: (address: string, security?: 'none' | 'tls') => RpcConnection;
}> {
  const server = new TestServer({ treeFor: (address) => (address === ALLOWED ? whole : little) });
  const client = await TestClient.start(server);
  const from = (address: string, security: 'none' | 'tls' = 'none'): RpcConnection => {
    const connection = server.connect(address);
    return { ...connection, peer: { ...connection.peer, security } };
  };
  return { server, client, from };
}

test('a session is of use on each connection that sees what the first one saw', async () => {
  const { client, from } = await start();
  const reply = await client.call(walk('model', 'weights'), { connection: from(ALLOWED) });
  expect(reply.status).toBe(OK);
});

test('it tells no kept reply to who sees something else, or is protected differently', async () => {
  const { client, server, from } = await start();
  const kept = [client.sequenceOp(1, { slot: 1, highest: 1, keep: true }), ...walk('model')];
  expect((await server.compound(kept)).status).toBe(OK);
  expect((await server.compound(kept)).status).toBe(OK);
  for (const connection of [from('192.0.2.8'), from(ALLOWED, 'tls')]) {
    const reply = await server.compound(kept, 1, { connection });
    expect([reply.status, reply.count]).toEqual([BADSESSION, 1]);
  }
});

test('it can neither be bound nor ended from there', async () => {
  const { client, server, from } = await start();
  const connection = from(ALLOWED, 'tls');
  const bind = op(41, client.sessionId, words(1, 0));
  expect((await server.compound([bind], 1, { connection })).status).toBe(BADSESSION);
  expect((await server.compound([op(44, client.sessionId)], 1, { connection })).status).toBe(BADSESSION);
  expect((await client.call([PUTROOTFH])).status).toBe(OK);
});

test('a handle or a name of what one may not see opens nothing within a session of one’s own', async () => {
  const { server, from } = await start();
  const connection = from('192.0.2.8');
  const { sessionId } = await TestClient.start(server, 'stranger', { connection });
  const first = op(53, sessionId, words(2, 0, 0, 0));
  const reply = await server.compound([first, ...walk('model')], 1, { connection });
  expect(reply.last.status).toBe(NOENT);
});

test('one name from one address, with TLS and without, is two clients: neither ends the sessions of the other', async () => {
  const { client, server, from } = await start();
  // The same name with another verifier would be a client that was started again.
  await TestClient.start(server, 'client', { verifier: 2, connection: from(ALLOWED, 'tls') });
  expect((await client.call([PUTROOTFH])).status).toBe(OK);
});
