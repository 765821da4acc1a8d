import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { call, RawConnection, words } from '../../../test/support/raw-rpc.js';
import { StepClock } from '../../../test/support/step-clock.js';
import { createRpcServer, type RpcServer, type RpcServerLoad } from './create-rpc-server.js';
import type { RpcProcedure } from './rpc-program.js';
import { RPC_SERVER_LIMITS, type RpcServerOptions } from './server-options.js';

const MIB = 1024 * 1024;
const NFS = { program: 100_003, version: 3 };
const REPLY_HEADER = 28;
const NULL_CALL = call(1, { ...NFS, procedure: 0 });
const NOTHING: RpcServerLoad = { connections: 0, calls: 0, callBytes: 0, replyBytes: 0 };

let server: RpcServer;
let port: number;
let clock: StepClock;
let errors: unknown[];
/** Payloads that were lent out and given back. */
let lent: number;
let returned: number;
let mostReplyBytes: number;
let mostCalls: number;
let holders: ((value: undefined) => void)[];
let connections: RawConnection[];

const CHUNK = Buffer.alloc(MIB, 0x5a);

function lend(): { parts: Uint8Array[]; release(): void } {
  lent += 1;
  let out = true;
  const release = (): void => {
    expect(out, 'released once').toBe(true);
    out = false;
    returned += 1;
  };
  return { parts: [CHUNK], release };
}

const NULL: RpcProcedure = { name: 'NULL', call: () => undefined };
/** Answers a mebibyte. */
const READ: RpcProcedure = {
  name: 'READ',
  call: async (_args, result, rpcCall) => {
    await rpcCall.reserve(MIB);
    const load = server.load();
    mostReplyBytes = Math.max(mostReplyBytes, load.replyBytes);
    mostCalls = Math.max(mostCalls, load.calls);
    result.payload(lend());
  },
};
/** Answers when the test says so. */
const HOLD: RpcProcedure = {
  name: 'HOLD',
  call: () => new Promise<undefined>((resolve) => holders.push(resolve)),
};
const READ_CALL = call(2, { ...NFS, procedure: 1 });
const HOLD_CALL = call(3, { ...NFS, procedure: 2 });

async function start(options: RpcServerOptions = {}): Promise<void> {
  const version = new Map([
    [0, NULL],
    [1, READ],
    [2, HOLD],
  ]);
  server = createRpcServer(
    [{ name: 'test', program: NFS.program, versions: new Map([[NFS.version, version]]) }],
    {
      clock,
      onError: (_what, _peer, error) => errors.push(error),
      ...options,
    },
  );
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
}

async function open(): Promise<RawConnection> {
  const before = server.connections();
  const connection = await RawConnection.open(port);
  connections.push(connection);
  await vi.waitFor(() => expect(server.connections()).toBeGreaterThanOrEqual(Math.max(before, 1)));
  return connection;
}

async function answersNull(connection: RawConnection): Promise<void> {
  connection.send(NULL_CALL);
  expect((await connection.receive(REPLY_HEADER)).readUInt32BE(4)).toBe(1);
}

/** Everything was given back, though the server still runs. */
async function expectNothingHeld(): Promise<void> {
  await vi.waitFor(() => expect(server.load()).toEqual(NOTHING));
  expect(returned).toBe(lent);
}

beforeEach(() => {
  clock = new StepClock();
  errors = [];
  lent = returned = mostReplyBytes = mostCalls = 0;
  holders = [];
  connections = [];
});
afterEach(async () => {
  for (const connection of connections) connection.destroy();
  for (const resolve of holders) resolve(undefined);
  const closed = server.close();
  await clock.advance(RPC_SERVER_LIMITS.closeTimeoutMs);
  await closed;
});

describe('back-pressure', () => {
  it('does not grow when a client sends 100,000 calls and reads nothing', async () => {
    await start();
    const connection = await open();
    connection.stopReading();
    // With arguments that READ ignores, so that more is sent than the kernel's buffers hold.
    const calls = Buffer.concat(
      Array.from({ length: 1000 }, () => call(2, { ...NFS, procedure: 1 }, CHUNK.subarray(0, 1024))),
    );
    for (let index = 0; index < 100; index += 1) connection.send(calls);
    let quiet = '';
    // Nothing moves any more.
    await vi.waitFor(
      () => {
        const now = JSON.stringify([server.load(), connection.socket.writableLength, returned]);
        const same = now === quiet;
        quiet = now;
        expect(same && lent > 16).toBe(true);
      },
      { timeout: 20_000, interval: 100 },
    );
    expect(connection.socket.writableLength).toBeGreaterThan(80 * MIB);
    const load = server.load();
    expect(load.calls).toBeLessThanOrEqual(RPC_SERVER_LIMITS.maxCalls);
    expect(load.callBytes).toBeLessThanOrEqual(RPC_SERVER_LIMITS.maxArgumentBytes + 64 * 1024);
    expect(mostReplyBytes).toBeLessThanOrEqual(RPC_SERVER_LIMITS.maxReplyBytes + MIB);
    expect(lent - returned).toBeLessThanOrEqual(16);
    connection.destroy();
    await expectNothingHeld();
  });

  it('answers all of them to who reads', async () => {
    await start();
    const connection = await open();
    const calls = Buffer.concat(
      Array.from({ length: 1000 }, (_, index) => call(index, { ...NFS, procedure: 0 })),
    );
    for (let index = 0; index < 100; index += 1) connection.send(calls);
    for (let index = 0; index < 100; index += 1) {
      const replies = await connection.receive(1000 * REPLY_HEADER);
      expect(replies.readUInt32BE(4)).toBe(0);
      expect(replies.readUInt32BE(999 * REPLY_HEADER + 4)).toBe(999);
    }
    connection.destroy();
    await expectNothingHeld();
  });

  it('reads no more calls than it may hold, by number and by bytes, and goes on when they are answered', async () => {
    for (const limits of [{ maxCalls: 4 }, { maxArgumentBytes: 170 }, { maxTotalArgumentBytes: 170 }]) {
      await start(limits);
      const connection = await open();
      // One at a time, so that each is in memory of its own (44 bytes and its mark).
      for (let index = 0; index < 12; index += 1) {
        connection.send(HOLD_CALL);
        await vi.waitFor(() => expect(holders).toHaveLength(Math.min(index + 1, 4)));
      }
      expect(server.load().calls).toBe(4);
      const second = await open();
      for (let answered = 0; answered < 12; answered += 1) {
        await vi.waitFor(() => expect(holders.length).toBeGreaterThan(answered));
        holders[answered]?.(undefined);
        await connection.receive(REPLY_HEADER);
        await vi.waitFor(() => expect(server.load().calls).toBeLessThanOrEqual(4));
      }
      expect(holders).toHaveLength(12);
      await answersNull(second);
      holders = [];
      connection.destroy();
      second.destroy();
      await expectNothingHeld();
      await server.close();
    }
  });

  it('holds up other clients while all calls together take too much, and wakes them', async () => {
    await start({ maxTotalArgumentBytes: 100 });
    const [a, b] = [await open(), await open()];
    a.send(HOLD_CALL, HOLD_CALL, HOLD_CALL);
    await vi.waitFor(() => expect(server.load().callBytes).toBeGreaterThanOrEqual(100));
    b.send(HOLD_CALL);
    const held = holders.length;
    // Asking and being answered by the server is impossible now; what b sent stands in the kernel or in one chunk.
    for (const resolve of holders.splice(0)) resolve(undefined);
    await vi.waitFor(() => expect(holders.length).toBeGreaterThan(0));
    for (let rest = 4 - held; rest > 0; rest -= 1) {
      await vi.waitFor(() => expect(holders.length).toBeGreaterThan(0));
      holders.shift()?.(undefined);
    }
    await a.receive(3 * REPLY_HEADER);
    await b.receive(REPLY_HEADER);
  });

  it('drops who begins long calls without completing them, and nobody else', async () => {
    await start({ maxTotalArgumentBytes: 300_000 });
    const good = await open();
    const bad = await Promise.all(Array.from({ length: 5 }, () => open()));
    for (const connection of bad) connection.send(words(0x8010_0000), CHUNK.subarray(0, 200_000));
    await vi.waitFor(() => expect(errors[0]).toMatchObject({ code: 'busy' }));
    await answersNull(good);
    for (const connection of bad) connection.destroy();
    await vi.waitFor(() => expect(server.load()).toEqual({ ...NOTHING, connections: 1 }));
  });
});

describe('payloads are given back exactly once', () => {
  it('when the connection is cut in the middle, at any place', async () => {
    await start();
    for (const bytes of [0, 1, 28, 1000, MIB, 5 * MIB, 20 * MIB]) {
      const connection = await open();
      connection.send(...Array.from({ length: 40 }, () => READ_CALL));
      await connection.receive(bytes);
      connection.destroy();
      await expectNothingHeld();
    }
    expect(lent).toBeGreaterThan(0);
  });

  it('when the connection is reset', async () => {
    await start();
    const connection = await open();
    connection.stopReading();
    connection.send(...Array.from({ length: 40 }, () => READ_CALL));
    await vi.waitFor(() => expect(lent).toBeGreaterThan(0));
    connection.socket.resetAndDestroy();
    await expectNothingHeld();
  });

  it('when the answer comes after the client went away', async () => {
    await start();
    const connection = await open();
    connection.send(HOLD_CALL);
    await vi.waitFor(() => expect(holders).toHaveLength(1));
    connection.destroy();
    await vi.waitFor(() => expect(server.connections()).toBe(0));
    holders[0]?.(undefined);
    await expectNothingHeld();
    expect(errors).toEqual([]);
  });

  it('when the server closes', async () => {
    await start();
    const connection = await open();
    connection.stopReading();
    connection.send(...Array.from({ length: 40 }, () => READ_CALL));
    await vi.waitFor(() => expect(lent).toBeGreaterThan(0));
    const closed = server.close();
    await clock.advance(RPC_SERVER_LIMITS.closeTimeoutMs);
    await closed;
    await expectNothingHeld();
  });
});

describe('clients that do nothing', () => {
  const { checkMs, recordTimeoutMs, writeTimeoutMs, idleTimeoutMs } = RPC_SERVER_LIMITS;

  /** Moves the clock until the connections are gone; milliseconds that took. */
  async function untilGone(limitMs: number): Promise<number> {
    for (let ms = 0; ms <= limitMs; ms += checkMs) {
      if (server.connections() === 0) return ms;
      await clock.advance(checkMs);
    }
    throw new Error(`still there after ${limitMs} ms`);
  }

  it('in the middle of a call are dropped, unless they go on', async () => {
    await start();
    const connection = await open();
    for (const byte of NULL_CALL) {
      connection.send(Buffer.from([byte]));
      const sent = connection.socket.bytesWritten;
      await vi.waitFor(() => expect(connection.socket.bytesWritten).toBe(sent));
      await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(checkMs);
    }
    await connection.receive(REPLY_HEADER);
    connection.send(NULL_CALL.subarray(0, 11));
    // What the client has sent is seen by the server before the following call of another client is answered.
    await answersNull(await open());
    connections.pop()?.destroy();
    await vi.waitFor(() => expect(server.connections()).toBe(1));
    const ms = await untilGone(10 * recordTimeoutMs);
    expect(ms).toBeGreaterThanOrEqual(recordTimeoutMs);
    expect(ms).toBeLessThanOrEqual(recordTimeoutMs + 3 * checkMs);
    expect(errors).toMatchObject([{ code: 'timeout' }]);
  });

  it('with replies that they do not read are dropped', async () => {
    await start();
    const connection = await open();
    connection.stopReading();
    connection.send(...Array.from({ length: 40 }, () => READ_CALL));
    await vi.waitFor(() => expect(lent).toBeGreaterThan(16));
    const ms = await untilGone(10 * writeTimeoutMs);
    expect(ms).toBeGreaterThanOrEqual(writeTimeoutMs);
    expect(errors).toMatchObject([{ code: 'timeout' }]);
    await expectNothingHeld();
  });

  it('with such replies are dropped soon when others wait for the room', async () => {
    await start({ maxTotalReplyBytes: 8 * MIB });
    for (let client = 0; client < 4; client += 1) {
      const stalled = await open();
      stalled.stopReading();
      // More than the kernel takes.
      stalled.send(...Array.from({ length: 40 }, () => READ_CALL));
    }
    await vi.waitFor(() => expect(server.load().replyBytes).toBeGreaterThanOrEqual(7 * MIB));
    const other = await open();
    other.send(READ_CALL);
    const answer = other.receive(MIB + REPLY_HEADER + 4);
    for (let ms = 0; ms + checkMs < writeTimeoutMs / 2; ms += checkMs) await clock.advance(checkMs);
    await answer;
    expect(errors[0]).toMatchObject({ code: 'timeout' });
  });

  it('but read slowly stay', async () => {
    await start();
    const connection = await open();
    const replies = 40;
    connection.send(...Array.from({ length: replies }, () => READ_CALL));
    for (let index = 0; index < replies; index += 4) {
      await connection.receive(4 * (MIB + REPLY_HEADER + 4));
      connection.stopReading();
      for (let ms = 0; ms + checkMs < writeTimeoutMs; ms += checkMs) await clock.advance(checkMs);
      connection.socket.resume();
    }
    expect(errors).toEqual([]);
    expect(lent).toBe(replies);
  });

  it('stay for a quarter of an hour if they owe nothing, and are then dropped without a complaint', async () => {
    await start();
    await answersNull(await open());
    const ms = await untilGone(2 * idleTimeoutMs);
    expect(ms).toBeGreaterThanOrEqual(15 * 60_000);
    expect(errors).toEqual([]);
  });

  it('stay while the server owes them an answer', async () => {
    await start();
    const connection = await open();
    connection.send(HOLD_CALL);
    await vi.waitFor(() => expect(holders).toHaveLength(1));
    await expect(untilGone(2 * idleTimeoutMs)).rejects.toThrow('still there');
  });
});

describe('more clients than places', () => {
  it('the one that is longest idle gives up its place, first one that never asked', async () => {
    await start({ maxConnections: 4 });
    const [busy, old, silent, recent] = [await open(), await open(), await open(), await open()];
    busy.send(HOLD_CALL);
    await vi.waitFor(() => expect(holders).toHaveLength(1));
    await answersNull(old);
    await clock.advance(10_000);
    await answersNull(recent);
    await clock.advance(10_000);

    await answersNull(await open());
    await silent.closed;
    await clock.advance(10_000);
    await answersNull(await open());
    await old.closed;
    await answersNull(recent);
    expect(server.connections()).toBe(4);
    holders[0]?.(undefined);
    await busy.receive(REPLY_HEADER);
  });

  it('strangers go first, also if they ask all the time', async () => {
    let came = 0;
    // The first that comes is admitted, no other is.
    await start({ maxConnections: 2, admit: () => (came += 1) === 1 });
    const known = await open();
    await answersNull(known);
    let last = await open();
    for (let index = 0; index < 3; index += 1) {
      await clock.advance(10_000);
      await answersNull(last);
      const next = await open();
      await last.closed;
      last = next;
    }
    await answersNull(known);
  });

  it('if all wait for answers, the newcomer is refused', async () => {
    await start({ maxConnections: 2 });
    const busy = [await open(), await open()];
    for (const connection of busy) connection.send(HOLD_CALL);
    await vi.waitFor(() => expect(holders).toHaveLength(2));
    const late = await open();
    await late.closed;
    for (const resolve of holders) resolve(undefined);
    for (const connection of busy) await connection.receive(REPLY_HEADER);
  });
});

it('a client that does not read does not hold up the others', async () => {
  await start({ maxTotalReplyBytes: 2 * MIB + 1024 });
  const [greedy, modest] = [await open(), await open()];
  greedy.stopReading();
  greedy.send(...Array.from({ length: 60 }, () => READ_CALL));
  // Everything that the kernel takes is taken.
  await vi.waitFor(() => expect(lent).toBeGreaterThan(0));
  for (let index = 0; index < 60; index += 1) {
    modest.send(READ_CALL);
    await modest.receive(MIB + REPLY_HEADER + 4);
  }
  expect(mostReplyBytes).toBeLessThanOrEqual(2 * MIB + 1024);
  greedy.socket.resume();
  await greedy.receive(60 * (MIB + REPLY_HEADER + 4));
});
