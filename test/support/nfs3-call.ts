import type { FileTree } from '../../src/catalog/file-tree.js';
import type { NfsExports } from '../../src/protocols/nfs/exports.js';
import type { RpcCall, RpcPeer, RpcProgram } from '../../src/protocols/rpc/rpc-program.js';
import { XdrReader } from '../../src/protocols/xdr/xdr-reader.js';
import { XdrWriter } from '../../src/protocols/xdr/xdr-writer.js';
import type { ByteSource } from '../../src/storage/byte-source.js';

/** Bytes written in hexadecimal, with any white space; `#` begins a comment until the end of the line. */
export function hex(text: string): Buffer {
  const digits = text.replaceAll(/#.*$/gm, '').replaceAll(/\s+/g, '');
  const bytes = Buffer.from(digits, 'hex');
  if (bytes.byteLength * 2 !== digits.length) throw new Error(`'${digits}' is not hexadecimal`);
  return bytes;
}

/** Who calls in tests. */
export const TEST_PEER: RpcPeer = { address: '192.0.2.7', port: 1023, security: 'none' };

/** Exports that remember what happened to them. */
export interface TestExports extends NfsExports {
  tree: FileTree | undefined;
  /** File ids that were read, one for each READ. */
  readonly read: bigint[];
  readonly errors: { readonly what: string; readonly peer: RpcPeer; readonly error: unknown }[];
}

/** Serves one tree to everybody. */
export function testExports(tree: FileTree | undefined, source: ByteSource): TestExports {
  const read: bigint[] = [];
  const errors: TestExports['errors'] = [];
  const exports: TestExports = {
    tree,
    read,
    errors,
    source,
    treeFor: () => exports.tree,
    usage: { read: (file) => void read.push(file.fileId), open: () => () => undefined },
    statistics: () => Promise.resolve({ bytes: 0x1_2345_6789, files: 77 }),
    onError: (what, peer, error) => void errors.push({ what, peer, error }),
  };
  return exports;
}

/** A source for files that consist of literals only. */
export const noBlobs: ByteSource = {
  name: 'no blobs',
  read: () => Promise.reject(new Error('nothing should be read')),
  close: () => Promise.resolve(),
};

/** What can be told of a call. */
export interface TestCallOptions {
  readonly signal?: AbortSignal;
  readonly reserve?: RpcCall['reserve'];
}

/** The buffers of a result, which must be released. */
export interface TestResult {
  readonly bytes: Buffer;
  readonly buffers: readonly Uint8Array[];
  release(): void;
}

/** Calls a procedure of the only version of `program` as a server would, without the headers of RPC. */
export async function callForBuffers(
  program: RpcProgram,
  number: number,
  args: Uint8Array,
  options: TestCallOptions = {},
): Promise<TestResult> {
  const [version] = program.versions.values();
  const procedure = version?.get(number);
  if (procedure === undefined) throw new Error(`${program.name} has no procedure ${number}`);
  const signal = options.signal ?? new AbortController().signal;
  const call: RpcCall = {
    connection: { peer: TEST_PEER, signal },
    credential: { flavor: 'none' },
    xid: 1,
    argumentBytes: args.byteLength,
    signal,
    reserve: (bytes) => options.reserve?.(bytes),
  };
  const writer = new XdrWriter();
  await procedure.call(new XdrReader(args), writer, call);
  const written = writer.finish();
  return {
    bytes: Buffer.concat(written.buffers),
    buffers: written.buffers,
    release: () => {
      written.release();
    },
  };
}

/** Calls a procedure; the bytes of its result. */
export async function callProcedure(
  program: RpcProgram,
  number: number,
  args: Uint8Array,
  options: TestCallOptions = {},
): Promise<Buffer> {
  const result = await callForBuffers(program, number, args, options);
  result.release();
  return result.bytes;
}
