import { afterEach, expect, test } from 'vitest';
import { MemoryTree } from '../../../test/support/memory-tree.js';
import {
  createSessionOp,
  exchangeIdOp,
  op,
  opaque,
  compoundArguments,
  openOp,
  parseReply,
  walk,
} from '../../../test/support/nfs4-client.js';
import { words } from '../../../test/support/raw-rpc.js';
import { staticLease } from '../../storage/byte-source.js';
import { createRpcServer } from '../rpc/create-rpc-server.js';
import { RpcClient } from '../rpc/rpc-client.js';
import { nothing, type Codec } from '../xdr/codec.js';
import type { NfsExports } from '../nfs/exports.js';
import { nfsProgram } from '../nfs/nfs-program.js';
import { nfs4Server } from './program.js';
import { NFS4 } from './status.js';

/** Bytes as they are. */
const raw: Codec<Uint8Array> = {
  encode: (writer, value) => writer.raw(value),
  decode: (reader) => reader.fixedOpaque(reader.remaining),
};
const CONTENT = 'the weights of a model';
const cleanup: (() => unknown)[] = [];

afterEach(async () => {
  for (const each of cleanup.splice(0)) await each();
});

test('a client over TCP mounts, opens, reads, closes and leaves', async () => {
  const tree = new MemoryTree({ 'model/weights': CONTENT });
  const open: bigint[] = [];
  const exports: NfsExports = {
    treeFor: () => tree,
    source: { name: 'none', read: () => staticLease(), close: () => Promise.resolve() },
    usage: {
      read: () => undefined,
      open: ({ fileId }) => {
        open.push(fileId);
        return () => void open.splice(open.indexOf(fileId), 1);
      },
    },
    statistics: () => Promise.resolve({ bytes: 0, files: 0 }),
    onError: (what, _, error) => {
      throw new Error(what, { cause: error });
    },
  };
  const server = createRpcServer([nfsProgram({ 4: nfs4Server(exports).version })]);
  cleanup.push(() => server.close());
  const { port } = await server.listen({ host: '127.0.0.1', port: 0 });
  const client = await RpcClient.connect({ host: '127.0.0.1', port });
  cleanup.unshift(() => client.close());

  await client.call(100_003, 4, 0, nothing, undefined, nothing);
  const send = async (...operations: readonly Uint8Array[]) =>
    parseReply(Buffer.from(await client.call(100_003, 4, 1, raw, compoundArguments(2, operations), raw)));

  const introduced = await send(exchangeIdOp('machine'));
  const clientId = introduced.last.body.subarray(0, 8);
  const session = (await send(createSessionOp(clientId, 1))).last.body.subarray(0, 16);
  let next = 0;
  const call = (...operations: readonly Uint8Array[]) =>
    send(op(53, session, words((next += 1), 0, 0, 0)), ...operations);
  expect((await call(op(58, words(0)))).status).toBe(NFS4.OK);
  const opened = await call(...walk('model'), openOp('weights'));
  const stateId = opened.last.body.subarray(0, 16);
  expect(open).toHaveLength(1);
  const read = await call(...walk('model', 'weights'), op(25, stateId, words(0, 4, 1 << 20)));
  expect(read.last.body).toEqual(Buffer.concat([words(1), opaque(CONTENT.slice(4))]));
  expect((await call(...walk('model', 'weights'), op(4, words(0), stateId))).status).toBe(NFS4.OK);
  expect(open).toHaveLength(0);
  expect((await send(op(44, session))).status).toBe(NFS4.OK);
  expect((await send(op(57, clientId))).status).toBe(NFS4.OK);
});
