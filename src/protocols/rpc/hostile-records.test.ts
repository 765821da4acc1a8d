import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { call, RawConnection, record, words } from '../../../test/support/raw-rpc.js';
import { array, opaque, struct, text, uint32 } from '../xdr/codec.js';
import { createRpcServer, type RpcServer } from './create-rpc-server.js';
import { procedure } from './rpc-program.js';

const NFS = { program: 100_003, version: 3 };
/** A call with everything in it: AUTH_SYS, and arguments of variable length. */
const CALL = record(
  words(1, 0, 2, NFS.program, NFS.version, 1, 1, 36, 0, 5),
  Buffer.from('host1\0\0\0'),
  words(1000, 100, 2, 4, 27, 0, 0),
  words(5),
  Buffer.from('abcde\0\0\0'),
  words(3, 1, 2, 3, 4),
  Buffer.from('name'),
);

let server: RpcServer;
let port: number;
let lent = 0;
let returned = 0;
const errors: unknown[] = [];

beforeAll(async () => {
  const echo = procedure({
    name: 'ECHO',
    args: struct({ data: opaque(100), numbers: array(uint32, 10), name: text(50) }),
    result: opaque(100),
    handle: ({ data }) => data,
  });
  const read = {
    name: 'READ',
    call: async (
      _args: unknown,
      result: { payload(p: object): void },
      rpcCall: { reserve(n: number): undefined | Promise<void> },
    ): Promise<void> => {
      await rpcCall.reserve(1000);
      lent += 1;
      result.payload({ parts: [Buffer.alloc(1000)], release: () => (returned += 1) });
    },
  };
  const version = new Map([
    [0, { name: 'NULL', call: () => undefined }],
    [1, echo],
    [2, read],
  ]);
  server = createRpcServer(
    [{ name: 'test', program: NFS.program, versions: new Map([[NFS.version, version]]) }],
    {
      maxRecordBytes: 10_000,
      closeTimeoutMs: 0,
      onError: (_what, _peer, error) => errors.push(error),
    },
  );
  ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
});
afterAll(() => server.close());

const mutation = fc.oneof(
  fc.record({ at: fc.nat(CALL.byteLength - 1), bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }) }),
  fc.record({
    at: fc.nat(CALL.byteLength / 4 - 1).map((word) => 4 * word),
    bytes: fc.constantFrom(0, 1, 2, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff).map((value) => words(value)),
  }),
);
const message = fc.oneof(
  fc.constant(CALL),
  fc.constantFrom(0, 1, 2, 3).map((number) => call(number, { ...NFS, procedure: number })),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => record(bytes)),
  fc.array(mutation, { minLength: 1, maxLength: 3 }).map((mutations) => {
    const mutated = Buffer.from(CALL);
    for (const { at, bytes } of mutations) mutated.set(bytes.subarray(0, mutated.length - at), at);
    return mutated;
  }),
  // Cut off at its end, with a mark that is right.
  fc.nat(CALL.byteLength - 4).map((length) => record(CALL.subarray(4, 4 + length))),
);

it('the call from which all are made is a good one', async () => {
  const connection = await RawConnection.open(port);
  connection.send(CALL);
  expect(await connection.receiveRecord()).toBe(
    record(words(1, 1, 0, 0, 0, 0, 5), Buffer.from('abcde\0\0\0')).toString('hex'),
  );
  connection.destroy();
});

it('whatever comes, the server answers others and keeps nothing', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(message, { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 50 }),
      async (messages, cut) => {
        const connection = await RawConnection.open(port);
        const stream = Buffer.concat(messages);
        for (let at = 0; at < stream.byteLength; at += cut * 7)
          connection.send(stream.subarray(at, at + cut * 7));
        connection.socket.end();
        await connection.closed;
        const other = await RawConnection.open(port);
        other.send(call(9, { ...NFS, procedure: 0 }));
        expect((await other.receive(28)).readUInt32BE(4)).toBe(9);
        other.destroy();
      },
    ),
    { numRuns: 150 },
  );
  await vi.waitFor(() =>
    expect(server.load()).toEqual({ connections: 0, calls: 0, callBytes: 0, replyBytes: 0 }),
  );
  expect(returned).toBe(lent);
  // No procedure failed; connections were dropped for broken records alone.
  for (const error of errors) expect(error).toMatchObject({ code: 'corrupt' });
});
