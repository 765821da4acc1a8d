import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { call, RawConnection, record, words } from '../../../test/support/raw-rpc.js';
import { opaque, uint32 } from '../xdr/codec.js';
import { createRpcServer, type RpcServer } from './create-rpc-server.js';
import {
  procedure,
  type RpcCall,
  type RpcConnection,
  type RpcProcedure,
  type RpcProgram,
} from './rpc-program.js';
import type { RpcServerOptions } from './server-options.js';

const bytes = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const compact = (digits: string): string => digits.replaceAll(' ', '');

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serve(
  procedures: Readonly<Record<number, RpcProcedure>> = {},
  options: RpcServerOptions = {},
): Promise<{ server: RpcServer; port: number; open: () => Promise<RawConnection> }> {
  const version = new Map([
    [0, NULL],
    ...Object.entries(procedures).map(([n, p]) => [Number(n), p] as const),
  ]);
  const program: RpcProgram = {
    name: 'test',
    program: 100_003,
    versions: new Map([
      [3, version],
      [4, version],
    ]),
  };
  const server = createRpcServer([program], { closeTimeoutMs: 0, ...options });
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  closing.push(() => server.close());
  const open = async (): Promise<RawConnection> => {
    const connection = await RawConnection.open(port);
    closing.push(() => connection.destroy());
    return connection;
  };
  return { server, port, open };
}

const NULL: RpcProcedure = { name: 'NULL', call: () => undefined };
const DOUBLE = procedure({ name: 'DOUBLE', args: uint32, result: uint32, handle: (value) => 2 * value });
const NFS3 = { program: 100_003, version: 3 };

/** A NULL call to NFS 3 with xid 0x01020304 and no credential, by RFC 5531, sections 9 and 11. */
const NULL_CALL = bytes(
  `80000028  01020304 00000000  00000002 000186a3 00000003 00000000
  00000000 00000000  00000000 00000000`.replaceAll('\n', ''),
);
const NULL_REPLY = compact('80000018 01020304 00000001 00000000 00000000 00000000 00000000');
/** The same with the credential of uid 1000, gid 100 and groups 4 and 27 on machine "host1". */
const SYS_CREDENTIAL =
  '00000001 00000024 499602d2 00000005 686f7374 31000000 000003e8 00000064 00000002 00000004 0000001b';

describe('a call and its reply, byte by byte', () => {
  it('answers NULL', async () => {
    const connection = await (await serve()).open();
    connection.send(NULL_CALL);
    expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  });

  it('answers when the call comes byte by byte, and when several come at once', async () => {
    const connection = await (await serve()).open();
    for (const byte of NULL_CALL) connection.send(Buffer.from([byte]));
    expect(await connection.receiveRecord()).toBe(NULL_REPLY);
    connection.send(Buffer.concat([NULL_CALL, NULL_CALL, NULL_CALL]));
    for (let index = 0; index < 3; index += 1) expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  });

  it('runs a procedure with codecs', async () => {
    const connection = await (await serve({ 1: DOUBLE })).open();
    connection.send(call(7, { ...NFS3, procedure: 1 }, words(21)));
    expect(await connection.receiveRecord()).toBe(record(words(7, 1, 0, 0, 0, 0, 42)).toString('hex'));
  });

  it('tells the procedure who calls', async () => {
    const seen: RpcCall[] = [];
    const who: RpcProcedure = { name: 'WHO', call: (_args, _result, rpcCall) => void seen.push(rpcCall) };
    const { open } = await serve({ 1: who });
    const connection = await open();
    const header = words(9, 0, 2, 100_003, 3, 1);
    for (let index = 0; index < 2; index += 1)
      connection.send(record(header, bytes(SYS_CREDENTIAL), words(0, 0), words(1, 2, 3)));
    await connection.receiveRecord();
    await connection.receiveRecord();
    for (const each of seen) {
      expect(each.credential).toEqual({
        flavor: 'sys',
        machine: 'host1',
        uid: 1000,
        gid: 100,
        gids: [4, 27],
      });
      expect(each.xid).toBe(9);
      expect(each.argumentBytes).toBe(12);
      expect(each.connection.peer).toEqual({
        address: '127.0.0.1',
        port: connection.socket.localPort,
        security: 'none',
      });
    }
    expect(seen).toHaveLength(2);
  });
});

describe('what cannot be answered is refused as RFC 5531, section 9 has it', () => {
  const thrown: RpcProcedure = {
    name: 'THROW',
    call: (_args, result) => {
      result.uint32(1);
      throw new Error('no');
    },
  };
  const rejected: RpcProcedure = { name: 'REJECT', call: () => Promise.reject(new Error('no')) };
  const tooLong = procedure({ name: 'LONG', args: uint32, result: opaque(1), handle: () => bytes('0102') });
  const header = '80000028 00000005 00000000';
  const cases: readonly (readonly [string, string, string])[] = [
    [
      'another RPC version',
      `${header} 00000003 000186a3 00000003 00000000 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000001 00000000 00000002 00000002',
    ],
    [
      'an unknown program (NFSACL)',
      `${header} 00000002 0001872b 00000003 00000000 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000001',
    ],
    [
      'an unknown version',
      `${header} 00000002 000186a3 00000002 00000000 ${'00'.repeat(16)}`,
      '80000020 00000005 00000001 00000000 00000000 00000000 00000002 00000003 00000004',
    ],
    [
      'an unknown procedure',
      `${header} 00000002 000186a3 00000003 00000063 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000003',
    ],
    [
      'arguments cut off',
      `${header} 00000002 000186a3 00000003 00000001 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000004',
    ],
    [
      'arguments with more behind them',
      `80000030 00000005 00000000 00000002 000186a3 00000003 00000001 ${'00'.repeat(16)} 0000000100000002`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000004',
    ],
    [
      'a header cut off',
      '80000010 00000005 00000000 00000002 000186a3',
      '80000018 00000005 00000001 00000000 00000000 00000000 00000004',
    ],
    [
      'a procedure that throws',
      `${header} 00000002 000186a3 00000003 00000002 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000005',
    ],
    [
      'a procedure that rejects',
      `${header} 00000002 000186a3 00000003 00000003 ${'00'.repeat(16)}`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000005',
    ],
    [
      "a result that does not fit its codec: our mistake, not the caller's",
      `8000002c 00000005 00000000 00000002 000186a3 00000003 00000004 ${'00'.repeat(16)} 00000001`,
      '80000018 00000005 00000001 00000000 00000000 00000000 00000005',
    ],
    [
      'AUTH_SYS with a body that is none',
      '8000002c 00000005 00000000 00000002 000186a3 00000003 00000000 00000001 00000004 00000000 00000000 00000000',
      '80000014 00000005 00000001 00000001 00000001 00000001',
    ],
    [
      'AUTH_SYS with 17 groups',
      `80000080 00000005 00000000 00000002 000186a3 00000003 00000000 00000001 00000058 ${'00'.repeat(16)} 00000011 ${'00'.repeat(68)} 00000000 00000000`,
      '80000014 00000005 00000001 00000001 00000001 00000001',
    ],
    [
      'AUTH_SHORT',
      '80000028 00000005 00000000 00000002 000186a3 00000003 00000000 00000002 00000000 00000000 00000000',
      '80000014 00000005 00000001 00000001 00000001 00000002',
    ],
    [
      'RPCSEC_GSS',
      '80000028 00000005 00000000 00000002 000186a3 00000003 00000000 00000006 00000000 00000000 00000000',
      '80000014 00000005 00000001 00000001 00000001 00000005',
    ],
    [
      'AUTH_TLS',
      '80000028 00000005 00000000 00000002 000186a3 00000003 00000000 00000007 00000000 00000000 00000000',
      '80000014 00000005 00000001 00000001 00000001 00000001',
    ],
    [
      'a verifier without a credential',
      '80000028 00000005 00000000 00000002 000186a3 00000003 00000000 00000000 00000000 00000001 00000000',
      '80000014 00000005 00000001 00000001 00000001 00000003',
    ],
  ];
  it.each(cases)('%s', async (_name, sent, expected) => {
    const { open } = await serve({ 1: DOUBLE, 2: thrown, 3: rejected, 4: tooLong });
    const connection = await open();
    connection.send(bytes(sent));
    expect(await connection.receiveRecord()).toBe(compact(expected));
    connection.send(NULL_CALL);
    expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  });

  it('reports procedures that fail, and not callers who send garbage', async () => {
    const reports: string[] = [];
    const { open } = await serve({ 1: DOUBLE, 2: thrown }, { onError: (what) => reports.push(what) });
    const connection = await open();
    connection.send(call(1, { ...NFS3, procedure: 1 }), call(2, { ...NFS3, procedure: 2 }));
    await connection.receiveRecord();
    await connection.receiveRecord();
    expect(reports).toEqual(['THROW']);
  });

  it.each([
    ['a record too short for a message', '80000004 00000001'],
    ['an empty record', '80000000'],
    ['a message that is neither call nor reply', '80000008 00000001 00000002'],
    ['a record that is too long', 'c0000000'],
  ])('drops the connection after %s', async (_name, sent) => {
    const reports: unknown[] = [];
    const { open } = await serve({}, { onError: (_what, _peer, error) => reports.push(error) });
    const connection = await open();
    connection.send(bytes(sent));
    await connection.closed;
    expect(reports).toMatchObject([{ code: 'corrupt' }]);
  });
});

describe('admission', () => {
  it('answers NULL to who is not admitted, and AUTH_TOOWEAK to the rest', async () => {
    const { open } = await serve({ 1: DOUBLE }, { admit: ({ address }) => address !== '127.0.0.1' });
    const connection = await open();
    connection.send(NULL_CALL);
    expect(await connection.receiveRecord()).toBe(NULL_REPLY);
    for (const program of [100_003, 100_227]) {
      connection.send(call(5, { program, version: 3, procedure: 1 }, words(1)));
      expect(await connection.receiveRecord()).toBe(
        compact('80000014 00000005 00000001 00000001 00000001 00000005'),
      );
    }
  });

  it('reads no long records from who is not admitted', async () => {
    const { open } = await serve({}, { admit: () => false });
    const connection = await open();
    connection.send(words(0x8001_0001));
    await connection.closed;
  });
});

it('runs the calls of a connection at once and answers each when it is finished', async () => {
  const resolvers: (() => void)[] = [];
  const later: RpcProcedure = {
    name: 'LATER',
    call: () => new Promise((resolve) => resolvers.push(resolve)),
  };
  const { server, open } = await serve({ 1: later });
  const connection = await open();
  connection.send(...[1, 2, 3].map((xid) => call(xid, { ...NFS3, procedure: 1 })), NULL_CALL);
  expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  expect(server.load().calls).toBe(3);
  for (const xid of [3, 1, 2]) {
    resolvers[xid - 1]?.();
    expect(await connection.receiveRecord()).toBe(record(words(xid, 1, 0, 0, 0, 0)).toString('hex'));
  }
});

it('takes who has closed his sending side for gone, once the replies that are made are sent', async () => {
  const calls: RpcCall[] = [];
  const never: RpcProcedure = {
    name: 'NEVER',
    call: (_args, _result, rpcCall) => {
      calls.push(rpcCall);
      return new Promise(() => undefined);
    },
  };
  const { server, open } = await serve({ 1: never });
  const connection = await open();
  connection.socket.end(Buffer.concat([call(1, { ...NFS3, procedure: 1 }), NULL_CALL]));
  expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  await connection.closed;
  expect(calls.map(({ signal }) => signal.aborted)).toEqual([true]);
  expect(server.connections()).toBe(0);
});

it('hands out replies to calls of ours, and goes on', async () => {
  const replies: (readonly [RpcConnection, string])[] = [];
  const onReply = (connection: RpcConnection, reply: Uint8Array): void =>
    void replies.push([connection, Buffer.from(reply).toString('hex')]);
  const connection = await (await serve({}, { onReply })).open();
  connection.send(record(words(77, 1, 0, 0, 0, 0)), NULL_CALL);
  expect(await connection.receiveRecord()).toBe(NULL_REPLY);
  expect(replies.map(([, reply]) => reply)).toEqual([words(77, 1, 0, 0, 0, 0).toString('hex')]);
  expect(replies[0]?.[0].peer.address).toBe('127.0.0.1');
});

describe('listening and closing', () => {
  it('says that a port is taken, or an address not of this machine', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    closing.push(() => void taken.close());
    const { port } = taken.address() as AddressInfo;
    await expectError(() => createRpcServer([]).listen({ host: '127.0.0.1', port }), 'busy', `port ${port}`);
    await expectError(() => createRpcServer([]).listen({ host: '192.0.2.1', port: 0 }), 'usage', '192.0.2.1');
  });

  it('answers the calls under way before it closes', async () => {
    let finish = (): void => undefined;
    const later: RpcProcedure = { name: 'LATER', call: () => new Promise((resolve) => (finish = resolve)) };
    const { server, open } = await serve({ 1: later }, { closeTimeoutMs: 60_000 });
    const [busy, idle] = [await open(), await open()];
    busy.send(call(1, { ...NFS3, procedure: 1 }), NULL_CALL);
    await busy.receiveRecord();
    const closed = server.close();
    void server.close();
    await idle.closed;
    finish();
    expect(await busy.receiveRecord()).toBe(record(words(1, 1, 0, 0, 0, 0)).toString('hex'));
    await closed;
    expect(server.connections()).toBe(0);
  });

  it('does not wait for ever for calls under way, and tells them', async () => {
    let signal: AbortSignal | undefined;
    const never: RpcProcedure = {
      name: 'NEVER',
      call: (_args, _result, rpcCall) => {
        signal = rpcCall.signal;
        return new Promise(() => undefined);
      },
    };
    const { server, open } = await serve({ 1: never }, { closeTimeoutMs: 1 });
    const connection = await open();
    connection.send(call(1, { ...NFS3, procedure: 1 }), NULL_CALL);
    await connection.receiveRecord();
    await server.close();
    expect(signal?.aborted).toBe(true);
    await connection.closed;
  });
});
