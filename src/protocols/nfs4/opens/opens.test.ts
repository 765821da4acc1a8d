import { describe, expect, test, vi } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  op,
  opaque,
  openOp,
  PUTROOTFH,
  TestClient,
  TestServer,
  walk,
  type CompoundReply,
} from '../../../../test/support/nfs4-client.js';
import { words } from '../../../../test/support/raw-rpc.js';
import { NFS4 } from '../status.js';

const CURRENT = words(1, 0, 0, 0);
const ANONYMOUS = words(0, 0, 0, 0);
const BYPASS = words(0xffff_ffff, 0xffff_ffff, 0xffff_ffff, 0xffff_ffff);
const INVALID = words(0xffff_ffff, 0, 0, 0);
const ALL = [0xffff_ffff, 0xffff_ffff] as const;
const READ_LOCK = 1;
const WRITE_LOCK = 2;

const start = (): Promise<TestClient> => TestClient.start(new TestServer());
const inModel = (...operations: readonly Uint8Array[]): Uint8Array[] => [...walk('model'), ...operations];
const inWeights = (...operations: readonly Uint8Array[]): Uint8Array[] => [
  ...walk('model', 'weights'),
  ...operations,
];
const close = (id: Uint8Array): Buffer => op(4, words(0), id);
const read = (id: Uint8Array): Buffer => op(25, id, words(0, 0, 4));
const lock = (
  type: number,
  openId: Uint8Array,
  owner = 'locker',
  range: readonly number[] = [0, 0, ...ALL],
) => op(12, words(type, 0, ...range, 1, 0), openId, words(0, 0, 0), opaque(owner));
const unlock = (id: Uint8Array, range: readonly number[] = [0, 0, ...ALL]) =>
  op(14, words(READ_LOCK, 0), id, words(...range));

/** The stateid that OPEN, LOCK or LOCKU gave. */
function stateIdIn(reply: CompoundReply, number = 18): Buffer {
  const body = reply.bodies.get(number);
  if (reply.status !== NFS4.OK || body === undefined) throw new Error(`status ${reply.status}`);
  return body.subarray(0, 16);
}

/** The same stateid with another sequence. */
function withSequence(id: Uint8Array, sequence: number): Buffer {
  return Buffer.concat([words(sequence), id.subarray(4)]);
}

async function opened(client: TestClient, owner = 'owner'): Promise<Buffer> {
  return stateIdIn(await client.call(inModel(openOp('weights', { owner }))));
}

describe('OPEN (RFC 8881, section 18.16)', () => {
  test('its result in bytes: a stateid, an unchanged directory, POSIX locks, no delegation', async () => {
    const { last } = await (await start()).call(inModel(openOp('weights')));
    expect(last.body.toString('hex')).toBe(
      '00000001' +
        '0000b0070000000200000001' +
        '00000001' +
        '0000000000000003' +
        '0000000000000003' +
        '00000004' +
        '00000000' +
        '00000000',
    );
  });

  test('the same owner again has the same stateid, one higher', async () => {
    const client = await start();
    const first = await opened(client);
    expect(await opened(client)).toEqual(withSequence(first, 2));
    expect(await opened(client, 'another')).not.toEqual(first);
    expect(client.server.held).toHaveLength(2);
  });

  test('nothing is held by an OPEN whose client is replaced meanwhile', async () => {
    const tree = new MemoryTree({ 'model/weights': 'tensors' });
    const server = new TestServer({ tree });
    const before = await TestClient.start(server);
    let found: () => void = () => undefined;
    const lookup = vi.spyOn(tree.directoryAt('model'), 'lookup').mockImplementationOnce(async () => {
      await new Promise<void>((resolve) => (found = resolve));
      return tree.at('model/weights');
    });
    const answer = before.call(inModel(openOp('weights')));
    await vi.waitFor(() => expect(lookup).toHaveBeenCalled());
    const after = await TestClient.start(server, 'client', { verifier: 2 });
    found();
    expect((await answer).status).toBe(NFS4.EXPIRED);
    expect(server.held).toEqual([]);
    expect(server.server.state.states.used).toBe(0);
    expect((await after.call(inModel(openOp('weights')))).status).toBe(NFS4.OK);
  });

  test('makes the file the current one, and its stateid the current stateid', async () => {
    const client = await start();
    const reply = await client.call(inModel(openOp('weights'), read(CURRENT)));
    expect(reply.status).toBe(NFS4.OK);
    expect((await client.call(inModel(openOp('weights'), close(CURRENT)))).last.body).toEqual(INVALID);
    // A new filehandle brings the anonymous stateid, which cannot be closed.
    const elsewhere = [...inModel(openOp('weights')), ...inWeights(close(CURRENT))];
    expect((await client.call(elsewhere)).status).toBe(NFS4.BAD_STATEID);
    const saved = [...inModel(openOp('weights'), op(32)), PUTROOTFH, op(31), close(CURRENT)];
    expect((await client.call(saved)).status).toBe(NFS4.OK);
  });

  test.each([
    ['nothing', openOp('weights', { access: 0 }), NFS4.INVAL],
    ['an unknown denial', openOp('weights', { deny: 4 }), NFS4.INVAL],
    ['writing', openOp('weights', { access: 2 }), NFS4.ROFS],
    ['reading and writing', openOp('weights', { access: 3 }), NFS4.ROFS],
    ['writing what is not there', openOp('absent', { access: 3 }), NFS4.NOENT],
    ['denying others to write', openOp('weights', { deny: 2 }), NFS4.OK],
    ['denying others to read', openOp('weights', { deny: 1 }), NFS4.SHARE_DENIED],
    ['what is not there', openOp('absent'), NFS4.NOENT],
    ['an empty name', openOp(''), NFS4.INVAL],
    ['a parent', openOp('..'), NFS4.BADNAME],
    ['a name that is too long', openOp('x'.repeat(256)), NFS4.NAMETOOLONG],
    ['UNCHECKED, there', openOp('weights', { create: words(0, 0, 0) }), NFS4.OK],
    ['UNCHECKED, cutting it off', openOp('weights', { create: words(0, 1, 0x10, 8, 0, 0) }), NFS4.ROFS],
    ['UNCHECKED, not there', openOp('absent', { create: words(0, 0, 0) }), NFS4.ROFS],
    ['GUARDED, there', openOp('weights', { create: words(1, 0, 0) }), NFS4.EXIST],
    ['GUARDED, not there', openOp('absent', { create: words(1, 0, 0) }), NFS4.ROFS],
    ['EXCLUSIVE, there', openOp('weights', { create: words(2, 0, 7) }), NFS4.EXIST],
    ['EXCLUSIVE4_1, not there', openOp('absent', { create: words(3, 0, 7, 0, 0) }), NFS4.ROFS],
    ['an unknown way to create', openOp('weights', { create: words(4) }), NFS4.BADXDR],
  ])('%s', async (_, operation, status) => {
    expect((await (await start()).call(inModel(operation))).status).toBe(status);
  });

  test('where it may not look', async () => {
    const client = await start();
    expect((await client.call([openOp('weights')])).status).toBe(NFS4.NOFILEHANDLE);
    expect((await client.call(inWeights(openOp('weights')))).status).toBe(NFS4.NOTDIR);
    expect((await client.call([PUTROOTFH, openOp('model')])).status).toBe(NFS4.ISDIR);
  });

  test('a file by its handle', async () => {
    const client = await start();
    const byHandle = op(18, words(0, 1, 0, 0, 0), opaque('owner'), words(0, 4));
    expect((await client.call(inWeights(byHandle, close(CURRENT)))).status).toBe(NFS4.OK);
    expect((await client.call([PUTROOTFH, byHandle])).status).toBe(NFS4.ISDIR);
  });

  test.each([
    [0x0100, 3],
    [0x0200, 3],
    [0x0300, 3],
    [0x0400, 0],
    [0x0500, 7],
  ])('asked for delegation %i, says why there is none', async (want, reason) => {
    const { last } = await (await start()).call(inModel(openOp('weights', { access: 1 | want })));
    expect(last.body.subarray(-8)).toEqual(words(3, reason));
  });

  test('reclaims succeed before and after RECLAIM_COMPLETE, other opens only after it', async () => {
    const client = await TestClient.start(new TestServer(), 'client', { reclaimed: false });
    const reclaim = op(18, words(0, 1, 0, 0, 0), opaque('owner'), words(0, 1, 0));
    expect((await client.call(inModel(openOp('weights')))).status).toBe(NFS4.GRACE);
    expect((await client.call(inWeights(reclaim))).status).toBe(NFS4.OK);
    expect((await client.call([op(58, words(0))])).status).toBe(NFS4.OK);
    expect((await client.call(inWeights(reclaim))).status).toBe(NFS4.OK);
    expect((await client.call(inModel(openOp('weights')))).status).toBe(NFS4.OK);
  });

  test('delegations that nobody has', async () => {
    const client = await start();
    const claim = (...rest: readonly Uint8Array[]) =>
      op(18, words(0, 1, 0, 0, 0), opaque('owner'), words(0), ...rest);
    const id = words(1, 0xb007, 2, 99);
    expect((await client.call(inModel(claim(words(2), id, opaque('weights'))))).status).toBe(
      NFS4.BAD_STATEID,
    );
    expect((await client.call(inWeights(claim(words(5), id)))).status).toBe(NFS4.BAD_STATEID);
    expect((await client.call(inModel(claim(words(3), opaque('weights'))))).status).toBe(NFS4.NOTSUPP);
    expect((await client.call(inWeights(claim(words(6))))).status).toBe(NFS4.NOTSUPP);
    expect((await client.call(inWeights(op(8, id)))).status).toBe(NFS4.BAD_STATEID);
  });

  test('a file is held while it is open', async () => {
    const client = await start();
    const id = await opened(client);
    expect(client.server.held).toHaveLength(1);
    await client.call(inWeights(close(id)));
    expect(client.server.held).toHaveLength(0);
  });
});

describe('stateids (RFC 8881, section 8.2)', () => {
  test('for reading', async () => {
    const client = await start();
    const id = await opened(client);
    await opened(client);
    const status = async (stateId: Uint8Array, path = ['model', 'weights']) =>
      (await client.call([...walk(...path), read(stateId)])).status;
    expect(await status(withSequence(id, 2))).toBe(NFS4.OK);
    expect(await status(withSequence(id, 0))).toBe(NFS4.OK);
    expect(await status(ANONYMOUS)).toBe(NFS4.OK);
    expect(await status(BYPASS)).toBe(NFS4.OK);
    expect(await status(withSequence(id, 1))).toBe(NFS4.OLD_STATEID);
    expect(await status(withSequence(id, 3))).toBe(NFS4.BAD_STATEID);
    expect(await status(INVALID)).toBe(NFS4.BAD_STATEID);
    expect(await status(words(5, 0, 0, 0))).toBe(NFS4.BAD_STATEID);
    expect(await status(withSequence(id, 2), ['model', 'config'])).toBe(NFS4.BAD_STATEID);
    expect(await status(words(1, 0xb006, 2, 1))).toBe(NFS4.STALE_STATEID);
    expect(await status(words(1, 0xb007, 3, 1))).toBe(NFS4.BAD_STATEID);
    expect(await status(words(1, 0xb007, 2, 77))).toBe(NFS4.BAD_STATEID);
  });

  test('of another client', async () => {
    const client = await start();
    const id = await opened(client);
    const other = await TestClient.start(client.server, 'other');
    expect((await other.call(inWeights(read(id)))).status).toBe(NFS4.BAD_STATEID);
    expect((await other.call(inWeights(close(id)))).status).toBe(NFS4.BAD_STATEID);
  });

  test('TEST_STATEID tells each one', async () => {
    const client = await start();
    const id = await opened(client);
    await opened(client);
    const asked = [withSequence(id, 2), id, ANONYMOUS, words(1, 0xb006, 2, 1)];
    const { last } = await client.call([op(55, words(asked.length), ...asked)]);
    expect(last.body).toEqual(words(4, NFS4.OK, NFS4.OLD_STATEID, NFS4.BAD_STATEID, NFS4.STALE_STATEID));
    expect((await client.call([op(55, words(5000))])).status).toBe(NFS4.BADXDR);
  });
});

describe('CLOSE and OPEN_DOWNGRADE', () => {
  test('closing gives the invalid stateid, once', async () => {
    const client = await start();
    const id = await opened(client);
    expect((await client.call(inWeights(close(id)))).last.body).toEqual(INVALID);
    expect((await client.call(inWeights(close(id)))).status).toBe(NFS4.BAD_STATEID);
    expect(client.server.server.state.states.used).toBe(0);
  });

  test('to what is open, and to nothing else', async () => {
    const client = await start();
    const id = stateIdIn(await client.call(inModel(openOp('weights', { deny: 2 }))));
    const downgrade = (access: number, deny: number, sequence: number) =>
      client.call(inWeights(op(21, withSequence(id, sequence), words(0, access, deny))));
    for (const [access, deny] of [
      [0, 0],
      [2, 0],
      [3, 0],
      [1, 1],
      [1, 4],
    ] as const)
      expect((await downgrade(access, deny, 1)).status).toBe(NFS4.INVAL);
    expect((await downgrade(1, 0, 1)).last.body).toEqual(withSequence(id, 2));
    expect((await downgrade(1, 2, 2)).status).toBe(NFS4.INVAL);
    expect((await downgrade(1, 0, 1)).status).toBe(NFS4.OLD_STATEID);
  });
});

describe('when there is no room for more open files', () => {
  test('those of clients whose leases are over give way, the longest gone first', async () => {
    const server = new TestServer({ limits: { states: 4 } });
    const [first, second, third] = [
      await TestClient.start(server, 'first'),
      await TestClient.start(server, 'second'),
      await TestClient.start(server, 'third'),
    ];
    await opened(first, '1');
    await opened(first, '2');
    server.clock.advance(1);
    await opened(second, '1');
    await opened(second, '2');
    const ask = () => third.call(inModel(openOp('weights')));
    expect((await ask()).status).toBe(NFS4.DELAY);
    server.clock.advance(90_001);
    expect((await ask()).status).toBe(NFS4.OK);
    expect(server.server.state.states.used).toBe(3);
    expect((await first.call([])).status).toBe(NFS4.BADSESSION);
    expect((await second.call([])).status).toBe(NFS4.OK);
  });

  test('and nothing of the content of an open file is kept', async () => {
    const kept: unknown[] = [];
    const server = new TestServer({ onOpen: (file) => kept.push(file) });
    await opened(await TestClient.start(server));
    expect(kept).toHaveLength(1);
    expect(kept[0]).not.toHaveProperty('segments');
  });
});

describe('locks', () => {
  test('for reading are given to everybody, and given up', async () => {
    const client = await start();
    const id = await opened(client);
    const locked = stateIdIn(await client.call(inWeights(lock(READ_LOCK, id))), 12);
    expect(locked.readUInt32BE()).toBe(1);
    const other = await TestClient.start(client.server, 'other');
    expect((await other.call(inWeights(lock(READ_LOCK, await opened(other))))).status).toBe(NFS4.OK);
    expect((await client.call([op(45, locked)])).status).toBe(NFS4.LOCKS_HELD);
    expect((await client.call(inWeights(read(locked)))).status).toBe(NFS4.OK);
    const half = stateIdIn(await client.call(inWeights(unlock(locked, [0, 0, 0, 100]))), 14);
    expect((await client.call([op(45, half)])).status).toBe(NFS4.LOCKS_HELD);
    const none = stateIdIn(await client.call(inWeights(unlock(half))), 14);
    expect(none.readUInt32BE()).toBe(3);
    expect((await client.call([op(45, none)])).status).toBe(NFS4.OK);
    expect((await client.call([op(45, none)])).status).toBe(NFS4.BAD_STATEID);
  });

  test('more by the same owner', async () => {
    const client = await start();
    const id = await opened(client);
    const locked = stateIdIn(await client.call(inWeights(lock(READ_LOCK, id))), 12);
    const more = op(12, words(READ_LOCK, 0, 0, 0, 0, 10, 0), locked, words(0));
    expect(stateIdIn(await client.call(inWeights(more)), 12)).toEqual(withSequence(locked, 2));
    // By the lock owner's name instead: the same state.
    expect(stateIdIn(await client.call(inWeights(lock(READ_LOCK, id))), 12)).toEqual(withSequence(locked, 3));
  });

  test('for writing are not, whoever asks', async () => {
    const client = await start();
    const id = await opened(client);
    expect((await client.call(inWeights(lock(WRITE_LOCK, id)))).status).toBe(NFS4.OPENMODE);
    const ask = (type: number, length: readonly number[]) =>
      client.call(inWeights(op(13, words(type, 0, 5, ...length, 0, 0), opaque('locker'))));
    expect((await ask(WRITE_LOCK, [0, 1])).status).toBe(NFS4.ROFS);
    expect((await ask(READ_LOCK, [0, 1])).status).toBe(NFS4.OK);
    expect((await ask(READ_LOCK, [0, 0])).status).toBe(NFS4.INVAL);
    expect((await ask(READ_LOCK, [0xffff_ffff, 0xffff_fffe])).status).toBe(NFS4.INVAL);
    expect((await ask(5, [0, 1])).status).toBe(NFS4.BADXDR);
  });

  test('go when the file is closed; an open is no lock, and cannot be freed', async () => {
    const client = await start();
    const id = await opened(client);
    const locked = stateIdIn(await client.call(inWeights(lock(READ_LOCK, id))), 12);
    expect((await client.call([op(45, id)])).status).toBe(NFS4.LOCKS_HELD);
    expect((await client.call(inWeights(unlock(id)))).status).toBe(NFS4.BAD_STATEID);
    expect((await client.call(inWeights(close(locked)))).status).toBe(NFS4.BAD_STATEID);
    expect((await client.call(inWeights(close(id)))).status).toBe(NFS4.OK);
    expect((await client.call(inWeights(unlock(locked)))).status).toBe(NFS4.BAD_STATEID);
    expect(client.server.server.state.states.used).toBe(0);
  });
});
