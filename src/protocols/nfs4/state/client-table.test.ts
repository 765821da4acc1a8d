import { describe, expect, test } from 'vitest';
import {
  createSessionOp,
  exchangeIdOp,
  LINUX_FORE,
  op,
  openOp,
  opaque,
  TestClient,
  TestServer,
  walk,
  type CompoundReply,
} from '../../../../test/support/nfs4-client.js';
import { words } from '../../../../test/support/raw-rpc.js';
import { NFS4 } from '../status.js';

const UPDATE = 0x4000_0000;
const LEASE_MS = 90_000;

/** A user of the machine. */
const user = (uid: number) =>
  ({ credential: { flavor: 'sys', machine: 'm', uid, gid: uid, gids: [] } }) as const;

const clientIdOf = (reply: CompoundReply) => reply.last.body.subarray(0, 8);

/** EXCHANGE_ID and CREATE_SESSION as user 1, which confirms. */
async function confirmed(server: TestServer, verifier = 1): Promise<Buffer> {
  const id = clientIdOf(await server.compound([exchangeIdOp('owner', verifier)], 1, user(1)));
  expect(await server.compound([createSessionOp(id, 1)], 1, user(1))).toMatchObject({ status: NFS4.OK });
  return id;
}

describe('EXCHANGE_ID (RFC 8881, section 18.35)', () => {
  test('its result in bytes: sequence 1, USE_NON_PNFS, SP4_NONE, owner and scope', async () => {
    const { bytes } = await new TestServer().compound([exchangeIdOp('owner')]);
    expect(bytes.toString('hex')).toBe(
      '00000000' +
        '00000000' +
        '00000001' +
        '0000002a' +
        '00000000' +
        '0000b00700000002' +
        '00000001' +
        '00010000' +
        '00000000' +
        '0000000000000000' +
        '00000005' +
        '63616c7978000000' +
        '00000005' +
        '63616c7978000000' +
        '00000000',
    );
  });

  test('flags that are not defined, and fencing only in minor version 2', async () => {
    const server = new TestServer();
    const flags = (bits: number) => exchangeIdOp('a', 1, bits);
    for (const bits of [0x8, 0x8000_0000, 0x4])
      expect((await server.compound([flags(bits)])).status).toBe(NFS4.INVAL);
    expect((await server.compound([flags(0x4)], 2)).status).toBe(NFS4.OK);
    expect((await server.compound([flags(0x7_0103)])).status).toBe(NFS4.OK);
  });

  test.each([
    ['SP4_MACH_CRED', words(1, 0, 0), NFS4.INVAL],
    ['SP4_SSV', words(2, 0, 0, 0, 0, 1, 1), NFS4.ENCR_ALG_UNSUPP],
  ])('state protection %s', async (_, protection, status) => {
    const args = op(42, words(0, 1), opaque('a'), words(0), protection, words(0));
    expect((await new TestServer().compound([args])).status).toBe(status);
  });

  test('case 1 and 4: an unconfirmed record is replaced', async () => {
    const server = new TestServer();
    const first = await server.compound([exchangeIdOp('owner')]);
    const second = await server.compound([exchangeIdOp('owner')]);
    expect(clientIdOf(second)).not.toEqual(clientIdOf(first));
    expect((await server.compound([createSessionOp(clientIdOf(first), 1)])).status).toBe(NFS4.STALE_CLIENTID);
    expect(server.server.state.clients.size).toBe(1);
  });

  test('case 2: the same client again', async () => {
    const server = new TestServer();
    const id = await confirmed(server);
    const again = await server.compound([exchangeIdOp('owner')], 1, user(1));
    // The id, the next sequence for CREATE_SESSION, and CONFIRMED_R.
    expect(again.last.body.subarray(0, 16)).toEqual(Buffer.concat([id, words(2, 0x8001_0000)]));
  });

  test('case 3: another user must not take the name while there is state, but then', async () => {
    const server = new TestServer();
    const id = await confirmed(server);
    const other = () => server.compound([exchangeIdOp('owner', 2)], 1, user(2));
    expect((await other()).status).toBe(NFS4.CLID_INUSE);
    server.clock.advance(LEASE_MS + 1);
    expect((await other()).status).toBe(NFS4.OK);
    expect((await server.compound([createSessionOp(id, 2)])).status).toBe(NFS4.STALE_CLIENTID);
  });

  test('case 5: a client that restarted keeps its old state until the new record is confirmed', async () => {
    const server = new TestServer();
    const old = await TestClient.start(server, 'owner');
    const restarted = clientIdOf(await server.compound([exchangeIdOp('owner', 2)]));
    expect(restarted).not.toEqual(old.clientId);
    expect((await old.call([...walk('model'), openOp('weights')])).status).toBe(NFS4.OK);
    expect(server.held).toHaveLength(1);
    expect((await server.compound([createSessionOp(restarted, 1)])).status).toBe(NFS4.OK);
    expect((await old.call([])).status).toBe(NFS4.BADSESSION);
    expect(server.held).toHaveLength(0);
  });

  test('machines of one name at two addresses, as clones of one image are, leave each other alone', async () => {
    const server = new TestServer();
    const sessionAt = async (address: string, verifier: number) => {
      const connection = server.connect(address);
      const id = clientIdOf(await server.compound([exchangeIdOp('clone', verifier)], 1, { connection }));
      const created = await server.compound([createSessionOp(id, 1)], 1, { connection });
      return { connection, session: created.last.body.subarray(0, 16) };
    };
    const one = await sessionAt('192.0.2.1', 1);
    const two = await sessionAt('192.0.2.2', 2);
    for (const { connection, session } of [one, two]) {
      const sequence = op(53, session, words(1, 0, 0, 0));
      expect((await server.compound([sequence], 1, { connection })).status).toBe(NFS4.OK);
    }
    // A client keeps its session when its address changes.
    const moved = op(53, one.session, words(2, 0, 0, 0));
    expect((await server.compound([moved], 1, { connection: server.connect('192.0.2.9') })).status).toBe(0);
  });

  test.each([
    ['6: same verifier, same user', 1, 1, NFS4.OK],
    ['8: another verifier', 2, 1, NFS4.NOT_SAME],
    ['9: another user', 1, 2, NFS4.PERM],
  ])('update, case %s', async (_, verifier, uid, status) => {
    const server = new TestServer();
    await confirmed(server);
    const reply = await server.compound([exchangeIdOp('owner', verifier, UPDATE)], 1, user(uid));
    expect(reply.status).toBe(status);
  });

  test('update, case 7: nothing confirmed', async () => {
    const server = new TestServer();
    await server.compound([exchangeIdOp('owner')]);
    expect((await server.compound([exchangeIdOp('owner', 1, UPDATE)])).status).toBe(NFS4.NOENT);
  });
});

describe('CREATE_SESSION (RFC 8881, section 18.36)', () => {
  test('agrees to what Linux asks for, without a back channel, and replays', async () => {
    const server = new TestServer();
    const id = clientIdOf(await server.compound([exchangeIdOp('owner')]));
    const created = await server.compound([createSessionOp(id, 1)]);
    const back = [0, 4096, 4096, 0, 2, 16, 0];
    expect(created.last.body.subarray(16)).toEqual(words(1, 0, ...LINUX_FORE, ...back));
    expect((await server.compound([createSessionOp(id, 1)])).bytes).toEqual(created.bytes);
    expect(server.server.state.sessions.size).toBe(1);
    for (const sequence of [0, 3])
      expect((await server.compound([createSessionOp(id, sequence)])).status).toBe(NFS4.SEQ_MISORDERED);
  });

  test('the first number is not 0, and who did not introduce himself as that user is refused', async () => {
    const server = new TestServer();
    const id = clientIdOf(await server.compound([exchangeIdOp('owner')], 1, user(1)));
    const create = (sequence: number, uid: number) =>
      server.compound([createSessionOp(id, sequence)], 1, user(uid));
    expect((await create(0, 1)).status).toBe(NFS4.SEQ_MISORDERED);
    expect((await create(1, 2)).status).toBe(NFS4.CLID_INUSE);
    expect((await create(1, 1)).status).toBe(NFS4.OK);
  });

  test.each([
    ['requests', [0, 20, 8192, 8192, 8, 8, 0]],
    ['replies', [0, 8192, 0, 8192, 8, 8, 0]],
    ['operations', [0, 8192, 8192, 8192, 0, 8, 0]],
  ])('too small %s leave the number free', async (_, fore) => {
    const server = new TestServer();
    const id = clientIdOf(await server.compound([exchangeIdOp('owner')]));
    expect((await server.compound([createSessionOp(id, 1, fore)])).status).toBe(NFS4.TOOSMALL);
    expect((await server.compound([createSessionOp(id, 1)])).status).toBe(NFS4.OK);
  });

  test('nothing is agreed to beyond the bounds of the server', async () => {
    const server = new TestServer();
    const id = clientIdOf(await server.compound([exchangeIdOp('owner')]));
    const all = 0xffff_ffff;
    const created = await server.compound([createSessionOp(id, 1, [all, all, all, all, all, all, 0])]);
    expect(created.last.body.subarray(24, 52)).toEqual(words(0, 1_052_672, 1_052_672, 8192, 64, 64, 0));
  });

  test('more sessions than a client needs', async () => {
    const server = new TestServer({ limits: { sessionsPerClient: 2 } });
    const client = await TestClient.start(server);
    expect((await client.call([createSessionOp(client.clientId, 2)])).status).toBe(NFS4.OK);
    expect((await client.call([createSessionOp(client.clientId, 3)])).status).toBe(NFS4.NOSPC);
    expect((await client.call([op(44, client.sessionId)])).status).toBe(NFS4.OK);
    expect((await server.compound([createSessionOp(client.clientId, 3)])).status).toBe(NFS4.OK);
  });
});

describe('ids of another run or another replica', () => {
  test('are known as such', async () => {
    const tree = new TestServer().tree;
    const client = await TestClient.start(new TestServer({ tree, boot: 1 }));
    const other = new TestServer({ tree, boot: 2 });
    expect((await other.compound([client.sequenceOp(2)])).status).toBe(NFS4.BADSESSION);
    expect((await other.compound([createSessionOp(client.clientId, 2)])).status).toBe(NFS4.STALE_CLIENTID);
    expect((await other.compound([op(57, client.clientId)])).status).toBe(NFS4.STALE_CLIENTID);
  });
});

describe('leases', () => {
  test('files of a client that is gone are not held, and held again when it comes back', async () => {
    const server = new TestServer();
    const client = await TestClient.start(server, 'owner');
    const opened = await client.call([...walk('model'), openOp('weights')]);
    const stateId = opened.last.body.subarray(0, 16);
    server.clock.advance(LEASE_MS - 1);
    await client.call([]);
    server.clock.advance(LEASE_MS - 1);
    await server.compound([exchangeIdOp('somebody')]);
    expect(server.held).toHaveLength(1);
    server.clock.advance(2);
    server.server.state.expireLeases();
    expect(server.held).toHaveLength(0);
    const read = op(25, stateId, words(0, 0, 4));
    expect((await client.call([...walk('model', 'weights'), read])).status).toBe(NFS4.OK);
    expect(server.held).toHaveLength(1);
  });

  test('the client that has been gone for the longest time makes room for another', async () => {
    const server = new TestServer({ limits: { clients: 2 } });
    const gone = await TestClient.start(server, 'gone');
    const here = await TestClient.start(server, 'here');
    const id = clientIdOf(await server.compound([exchangeIdOp('new')]));
    expect((await server.compound([createSessionOp(id, 1)])).status).toBe(NFS4.DELAY);
    server.clock.advance(LEASE_MS - 1);
    await here.call([]);
    server.clock.advance(2);
    const late = clientIdOf(await server.compound([exchangeIdOp('new')]));
    expect((await server.compound([createSessionOp(late, 1)])).status).toBe(NFS4.OK);
    expect((await here.call([])).status).toBe(NFS4.OK);
    expect((await gone.call([])).status).toBe(NFS4.BADSESSION);
  });
});

describe('hostile clients', () => {
  test('sessions and open files of clients that are gone make room for others', async () => {
    const server = new TestServer({ limits: { sessions: 2, states: 1 } });
    const gone = await TestClient.start(server, 'gone');
    await gone.call([...walk('model'), openOp('weights')]);
    const here = await TestClient.start(server, 'here');
    const open = () => here.call([...walk('model'), openOp('weights')]);
    expect((await open()).status).toBe(NFS4.DELAY);
    expect((await here.call([createSessionOp(here.clientId, 2)])).status).toBe(NFS4.DELAY);
    server.clock.advance(LEASE_MS - 1);
    await here.call([]);
    server.clock.advance(2);
    expect((await open()).status).toBe(NFS4.OK);
    expect((await here.call([createSessionOp(here.clientId, 2)])).status).toBe(NFS4.OK);
    expect((await gone.call([])).status).toBe(NFS4.BADSESSION);
  });

  test('100,000 introductions leave 1,024 records, and clients with sessions untouched', async () => {
    const server = new TestServer();
    const client = await TestClient.start(server, 'honest');
    for (let count = 0; count < 100_000; count += 1) await server.compound([exchangeIdOp(`client ${count}`)]);
    expect(server.server.state.clients.size).toBe(1025);
    expect((await client.call([])).status).toBe(NFS4.OK);
    server.clock.advance(LEASE_MS + 1);
    server.server.state.expireLeases();
    expect(server.server.state.clients.size).toBe(1);
  });

  test('open files are bounded for each client and for all', async () => {
    const server = new TestServer({ limits: { statesPerClient: 3, states: 5 } });
    const [a, b] = [await TestClient.start(server, 'a'), await TestClient.start(server, 'b')];
    const open = async (client: TestClient, owner: string) =>
      (await client.call([...walk('model'), openOp('weights', { owner })])).status;
    for (const owner of ['1', '2', '3']) expect(await open(a, owner)).toBe(NFS4.OK);
    expect(await open(a, '4')).toBe(NFS4.NOSPC);
    for (const owner of ['1', '2']) expect(await open(b, owner)).toBe(NFS4.OK);
    expect(await open(b, '3')).toBe(NFS4.DELAY);
    expect(server.held).toHaveLength(5);
    await server
      .compound([exchangeIdOp('a', 2)])
      .then((reply) => server.compound([createSessionOp(clientIdOf(reply), 1)]));
    expect(server.server.state.states.used).toBe(2);
    expect(await open(b, '3')).toBe(NFS4.OK);
  });
});
