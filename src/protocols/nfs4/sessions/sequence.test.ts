import { describe, expect, test } from 'vitest';
import { MemoryTree } from '../../../../test/support/memory-tree.js';
import {
  compoundArguments,
  op,
  openOp,
  PUTROOTFH,
  TestClient,
  TestServer,
  walk,
} from '../../../../test/support/nfs4-client.js';
import { NFS4 } from '../status.js';
import { ReplyCache } from './reply-cache.js';

const start = async () => TestClient.start(new TestServer());

/** Something to wait for. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open: () => open() };
}

describe('SEQUENCE (RFC 8881, section 18.46)', () => {
  test('its result in bytes: what came back, 64 slots, no flags', async () => {
    const client = await start();
    const { bytes } = await client.server.compound([client.sequenceOp(1, { slot: 5, highest: 5 })]);
    expect(bytes.toString('hex')).toBe(
      '00000000' +
        '00000000' +
        '00000001' +
        '00000035' +
        '00000000' +
        client.sessionId.toString('hex') +
        '00000001' +
        '00000005' +
        '0000003f' +
        '0000003f' +
        '00000000',
    );
  });

  test.each([
    ['a slot that is not there', 64, 64, NFS4.BADSLOT],
    ['a highest slot that is not there', 0, 64, NFS4.BAD_HIGH_SLOT],
  ])('%s', async (_, slot, highest, status) => {
    const client = await start();
    expect(await client.server.compound([client.sequenceOp(1, { slot, highest })])).toMatchObject({ status });
  });

  test('a session that nobody has', async () => {
    const client = await start();
    client.sessionId[15] = (client.sessionId[15] ?? 0) ^ 1;
    expect(await client.call([])).toMatchObject({ status: NFS4.BADSESSION, count: 1 });
  });

  test.each([0, 1, 4, 0xffff_ffff])('numbers out of order: %i where 2 was the last', async (sequence) => {
    const client = await start();
    for (const each of [1, 2])
      await client.server.compound([client.sequenceOp(each, { slot: 1, highest: 1 })]);
    const reply = await client.server.compound([client.sequenceOp(sequence, { slot: 1, highest: 1 })]);
    expect(reply.status).toBe(NFS4.SEQ_MISORDERED);
  });

  test('zero on a slot that was never used', async () => {
    const client = await start();
    const reply = await client.server.compound([client.sequenceOp(0, { slot: 1, highest: 1 })]);
    expect(reply.status).toBe(NFS4.SEQ_MISORDERED);
  });
});

describe('retries (RFC 8881, section 2.10.6.1)', () => {
  test('get the same bytes, and nothing is done twice', async () => {
    const client = await start();
    const sequence = client.sequenceOp(1, { slot: 1, highest: 1, keep: true });
    const args = compoundArguments(1, [sequence, ...walk('model'), openOp('weights'), op(10)], 'open');
    const first = await client.server.send(args);
    expect(first.status).toBe(NFS4.OK);
    const again = await client.server.send(args, { connection: client.server.connect() });
    expect(again.bytes).toEqual(first.bytes);
    expect(client.server.held).toHaveLength(1);
  });

  test('get failures again as well', async () => {
    const client = await start();
    const args = compoundArguments(1, [client.sequenceOp(1, { slot: 1, highest: 1, keep: true }), op(9_999)]);
    const first = await client.server.send(args);
    expect(first.status).toBe(NFS4.OP_ILLEGAL);
    expect((await client.server.send(args)).bytes).toEqual(first.bytes);
  });

  test('another highest slot is still the same request, other operations or another user are not', async () => {
    const client = await start();
    const sequence = (highest: number) => client.sequenceOp(1, { slot: 1, highest, keep: true });
    const first = await client.server.compound([sequence(1), PUTROOTFH]);
    expect((await client.server.compound([sequence(2), PUTROOTFH])).bytes).toEqual(first.bytes);
    const other = await client.server.compound([sequence(1), op(10)]);
    expect(other.status).toBe(NFS4.SEQ_FALSE_RETRY);
    const credential = { flavor: 'sys', machine: 'm', uid: 7, gid: 7, gids: [] } as const;
    const user = await client.server.compound([sequence(1), PUTROOTFH], 1, { credential });
    expect(user.status).toBe(NFS4.SEQ_FALSE_RETRY);
  });

  test('of what was not to be kept', async () => {
    const client = await start();
    const operations = [client.sequenceOp(1, { slot: 1, highest: 1 }), PUTROOTFH];
    expect((await client.server.compound(operations)).status).toBe(NFS4.OK);
    expect((await client.server.compound(operations)).status).toBe(NFS4.RETRY_UNCACHED_REP);
  });

  test('of what was not to be kept and never sent are done anew', async () => {
    const client = await start();
    const operations = [client.sequenceOp(1, { slot: 1, highest: 1 }), PUTROOTFH];
    await client.server.compound(operations, 1, { signal: AbortSignal.abort() });
    expect((await client.server.compound(operations)).status).toBe(NFS4.OK);
  });

  test('while the request is being answered', async () => {
    const tree = new MemoryTree({ 'model/weights': 'tensors' });
    const [asked, answer] = [gate(), gate()];
    const model = tree.directoryAt('model');
    const lookup = model.lookup.bind(model);
    model.lookup = async (name) => {
      asked.open();
      await answer.opened;
      return lookup(name);
    };
    const client = await TestClient.start(new TestServer({ tree }));
    const sequence = client.sequenceOp(1, { slot: 1, highest: 1, keep: true });
    const args = compoundArguments(1, [sequence, ...walk('model', 'weights')]);
    const first = client.server.send(args);
    await asked.opened;
    expect((await client.server.send(args)).status).toBe(NFS4.DELAY);
    const next = [client.sequenceOp(2, { slot: 1, highest: 1 })];
    expect((await client.server.compound(next)).status).toBe(NFS4.SEQ_MISORDERED);
    answer.open();
    expect((await first).status).toBe(NFS4.OK);
    expect((await client.server.send(args)).bytes).toEqual((await first).bytes);
  });
});

describe('replies that are kept', () => {
  test('are counted, and the oldest goes when the budget is used up', () => {
    const cache = new ReplyCache(100);
    const [a, b, c] = [{ reply: undefined }, { reply: undefined }, { reply: undefined }];
    cache.keep(a, new Uint8Array(50));
    cache.keep(b, new Uint8Array(50));
    cache.keep(c, new Uint8Array(10));
    expect([a.reply, cache.bytes]).toEqual([undefined, 60]);
    cache.keep(b, new Uint8Array(20));
    cache.forget(c);
    expect(cache.bytes).toBe(20);
  });

  test('go with their session', async () => {
    const client = await start();
    await client.call([PUTROOTFH], { keep: true });
    const { replies } = client.server.server.state;
    expect(replies.bytes).toBeGreaterThan(0);
    await client.server.compound([op(44, client.sessionId)]);
    expect(replies.bytes).toBe(0);
    expect((await client.call([])).status).toBe(NFS4.BADSESSION);
  });
});
