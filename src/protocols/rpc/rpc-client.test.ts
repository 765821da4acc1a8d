import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { record, words } from '../../../test/support/raw-rpc.js';
import { nothing, opaque, payload, uint32 } from '../xdr/codec.js';
import { createRpcServer } from './create-rpc-server.js';
import { RpcClient } from './rpc-client.js';
import { procedure } from './rpc-program.js';

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server that does with what comes what the test says, and its client. */
async function clientOf(onData: (socket: Socket, data: Buffer) => void): Promise<RpcClient> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.on('data', (data) => onData(socket, data));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const client = await RpcClient.connect({ host: '127.0.0.1', port, maxRecordBytes: 4096 });
  closing.push(() => client.close());
  return client;
}

/** The xid of the first call in what came. */
const xidOf = (data: Buffer): number => data.readUInt32BE(4);
const ask = (client: RpcClient): Promise<number> => client.call(100_003, 3, 1, nothing, undefined, uint32);

it('writes a call as RFC 5531 has it, with a credential', async () => {
  let sent = '';
  const client = await clientOf((socket, data) => {
    sent = data.toString('hex');
    socket.write(record(words(xidOf(data), 1, 0, 0, 0, 0, 42)));
  });
  const credential = { flavor: 'sys', machine: 'host1', uid: 1000, gid: 100, gids: [4, 27] } as const;
  expect(await client.call(100_003, 3, 6, opaque(8), Buffer.from('abc'), uint32, { credential })).toBe(42);
  expect(sent.slice(0, 8) + sent.slice(16)).toBe(
    (
      '80000054' +
      '00000000 00000002 000186a3 00000003 00000006' +
      '00000001 00000024 00000000 00000005 686f7374 31000000 000003e8 00000064 00000002 00000004 0000001b' +
      '00000000 00000000' +
      '00000003 61626300'
    ).replaceAll(' ', ''),
  );
});

describe('says what the server answered', () => {
  it.each([
    ['PROG_UNAVAIL', [1, 0, 0, 0, 1], 'unsupported', 'program'],
    ['PROG_MISMATCH', [1, 0, 0, 0, 2, 3, 4], 'unsupported', 'versions 3 to 4'],
    ['PROC_UNAVAIL', [1, 0, 0, 0, 3], 'unsupported', 'procedure 1'],
    ['GARBAGE_ARGS', [1, 0, 0, 0, 4], 'refused', 'arguments'],
    ['SYSTEM_ERR', [1, 0, 0, 0, 5], 'unavailable', 'failed'],
    ['RPC_MISMATCH', [1, 1, 0, 3, 3], 'unsupported', 'version 3'],
    ['AUTH_TOOWEAK', [1, 1, 1, 5], 'refused', 'access denied'],
    ['a reply status that there is not', [1, 2], 'corrupt', 'status 2'],
    ['an accept status that there is not', [1, 0, 0, 0, 9], 'corrupt', 'status 9'],
    ['a reply without its result', [1, 0, 0, 0, 0], 'corrupt', 'cut off'],
    ['a reply with more than its result', [1, 0, 0, 0, 0, 1, 2], 'corrupt', 'follow'],
  ] as const)('%s', async (_name, reply, code, says) => {
    const client = await clientOf((socket, data) => socket.write(record(words(xidOf(data), ...reply))));
    await expectError(() => ask(client), code, client.server, says);
    expect(client.server).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  it.each([
    ['closes the connection', (socket: Socket): void => void socket.end(), 'unavailable', 'closed'],
    [
      'announces too much',
      (socket: Socket): void => void socket.write(words(0xffff_ffff)),
      'corrupt',
      '4096 bytes',
    ],
    [
      'sends a record that is no message',
      (socket: Socket): void => void socket.write(words(0x8000_0000)),
      'corrupt',
      'no RPC message',
    ],
  ] as const)('%s: all calls fail, also later ones', async (_name, answer, code, says) => {
    const client = await clientOf(answer);
    await Promise.all([1, 2].map(() => expectError(() => ask(client), code, client.server, says)));
    await expectError(() => ask(client), code, client.server);
  });
});

it('finds the calls of replies that come in another order, and passes over what is for nobody', async () => {
  let calls = Buffer.alloc(0);
  const client = await clientOf((socket, data) => {
    calls = Buffer.concat([calls, data]);
    if (calls.byteLength < 2 * 48) return;
    const reply = (at: number): Buffer =>
      record(words(calls.readUInt32BE(at + 4), 1, 0, 0, 0, 0, calls.readUInt32BE(at + 44)));
    const back = record(words(1, 0, 2, 0x4000_0000, 1, 0, 0, 0, 0, 0));
    socket.write(Buffer.concat([back, record(words(0, 1, 0, 0, 0, 0, 5)), reply(48), reply(0)]));
  });
  const send = (value: number): Promise<number> => client.call(100_003, 3, 1, uint32, value, uint32);
  expect(await Promise.all([send(10), send(20)])).toEqual([10, 20]);
});

it('gives up at the deadline or the signal, and goes on with the next call', async () => {
  let silent = true;
  const client = await clientOf((socket, data) => {
    // The last call of 44 bytes; those that were given up may come together with it.
    if (!silent) socket.write(record(words(xidOf(data.subarray(-44)), 1, 0, 0, 0, 0, 7)));
  });
  const call = (options: { timeoutMs?: number; signal?: AbortSignal }): Promise<number> =>
    client.call(100_003, 3, 1, nothing, undefined, uint32, options);
  await expectError(() => call({ timeoutMs: 5 }), 'timeout', client.server, '0.005 s');
  const abort = new AbortController();
  const aborted = call({ signal: abort.signal });
  abort.abort(new Error('enough'));
  await expect(aborted).rejects.toThrow('enough');
  await expect(call({ signal: abort.signal })).rejects.toThrow('enough');
  silent = false;
  expect(await call({})).toBe(7);
});

describe('connecting', () => {
  it('names the server that is not there', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    await expectError(
      () => RpcClient.connect({ host: '127.0.0.1', port }),
      'unavailable',
      `127.0.0.1:${port}`,
    );
  });

  it('ends with the signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(RpcClient.connect({ host: '127.0.0.1', port: 1, signal })).rejects.toThrow('enough');
  });

  it('takes a privileged port, or says what it needs', async () => {
    const ports: number[] = [];
    const server = createRpcServer([], { closeTimeoutMs: 0, admit: ({ port }) => ports.push(port) > 0 });
    const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
    closing.push(() => server.close());
    const connect = (): Promise<RpcClient> =>
      RpcClient.connect({ host: '127.0.0.1', port, localPort: 'privileged' });
    if (process.getuid?.() !== 0) {
      // Some systems let everybody take such ports; then it works.
      const outcome = await connect().catch((error: unknown) => error);
      if (outcome instanceof RpcClient) outcome.close();
      else
        expect(outcome).toMatchObject({ code: 'refused', hint: expect.stringContaining('root') as string });
      return;
    }
    const client = await connect();
    closing.push(() => client.close());
    await expectError(() => client.call(1, 1, 0, nothing, undefined, nothing), 'unsupported');
    expect(ports[0]).toBeLessThan(1024);
  });
});

it('moves large arguments and results through our server without mixing calls', async () => {
  const echo = procedure({
    name: 'ECHO',
    args: opaque(1 << 20),
    result: payload(1 << 20),
    handle: (bytes) => ({ parts: [bytes], release: () => undefined }),
  });
  const program = { name: 'echo', program: 200_000, versions: new Map([[1, new Map([[1, echo]])]]) };
  const server = createRpcServer([program], { closeTimeoutMs: 0 });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  closing.push(() => server.close());
  const client = await RpcClient.connect({ host: '127.0.0.1', port });
  closing.push(() => client.close());
  const sizes = [0, 1, 5, 65_536, 1_000_001, 1 << 20];
  const replies = await Promise.all(
    sizes.map((size, index) =>
      client.call(200_000, 1, 1, opaque(1 << 20), Buffer.alloc(size, index + 1), opaque(1 << 20)),
    ),
  );
  replies.forEach((reply, index) =>
    expect(Buffer.from(reply).equals(Buffer.alloc(sizes[index] ?? 0, index + 1))).toBe(true),
  );
});
