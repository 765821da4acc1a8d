import type { FileTree } from '../../src/catalog/file-tree.js';
import type { NfsExports, OpenedFile } from '../../src/protocols/nfs/exports.js';
import { nfs4Server, type Nfs4Server } from '../../src/protocols/nfs4/program.js';
import type { Nfs4Limits } from '../../src/protocols/nfs4/state/server-state.js';
import type { RpcCall, RpcConnection, RpcCredential } from '../../src/protocols/rpc/rpc-program.js';
import { XdrReader } from '../../src/protocols/xdr/xdr-reader.js';
import { XdrWriter } from '../../src/protocols/xdr/xdr-writer.js';
import { staticLease } from '../../src/storage/byte-source.js';
import { ManualClock } from './manual-clock.js';
import { MemoryTree } from './memory-tree.js';
import { words } from './raw-rpc.js';

/** Bytes with their length before them and zeros up to a whole word after them, as XDR writes them. */
export function opaque(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([words(bytes.byteLength), bytes, Buffer.alloc(-bytes.byteLength & 3)]);
}

/** An operation as bytes: its number and its arguments. */
export function op(number: number, ...args: readonly Uint8Array[]): Buffer {
  return Buffer.concat([words(number), ...args]);
}

/** COMPOUND4args as bytes. */
export function compoundArguments(minor: number, operations: readonly Uint8Array[], tag = ''): Buffer {
  return Buffer.concat([opaque(tag), words(minor, operations.length), ...operations]);
}

/** COMPOUND4res; what follows the status of the last operation is not taken apart. */
export interface CompoundReply {
  readonly bytes: Buffer;
  readonly status: number;
  readonly tag: string;
  /** Results that it says to have. */
  readonly count: number;
  /** Number and status of the operation at which it ends. */
  readonly last: { readonly number: number; readonly status: number; readonly body: Buffer };
  /** The bodies of those before, by number. */
  readonly bodies: ReadonlyMap<number, Buffer>;
}

/** Bytes that follow the status of operations that succeed, in tests that do something after them. */
const BODY_BYTES: Readonly<Record<number, number>> = {
  4: 16, // CLOSE
  10: 16, // GETFH in a MemoryTree
  12: 16, // LOCK
  14: 16, // LOCKU
  15: 0, // LOOKUP
  // OPEN without attributes and without delegation.
  18: 16 + 20 + 4 + 4 + 4,
  22: 0, // PUTFH
  24: 0, // PUTROOTFH
  25: 12, // READ of one to four bytes
  31: 0, // RESTOREFH
  32: 0, // SAVEFH
  53: 36, // SEQUENCE
  58: 0, // RECLAIM_COMPLETE
};

/** Takes a reply apart. */
export function parseReply(bytes: Buffer): CompoundReply {
  const reader = new XdrReader(bytes);
  const status = reader.uint32();
  const tag = Buffer.from(reader.opaque(1024)).toString();
  const count = reader.uint32();
  const bodies = new Map<number, Buffer>();
  let last = { number: 0, status: -1, body: Buffer.alloc(0) };
  for (let index = 0; index < count; index += 1) {
    const number = reader.uint32();
    const opStatus = reader.uint32();
    const length = index === count - 1 ? reader.remaining : BODY_BYTES[number];
    if (length === undefined) throw new Error(`the length of the result of ${number} is not known here`);
    const body = Buffer.from(reader.fixedOpaque(length));
    bodies.set(number, body);
    last = { number, status: opStatus, body };
  }
  return { bytes, status, tag, count, last, bodies };
}

/** What a test chooses of a {@link TestServer}. */
export interface TestServerChoices {
  readonly tree?: FileTree;
  readonly limits?: Partial<Nfs4Limits>;
  readonly clock?: ManualClock;
  /** The boot value. */
  readonly boot?: number;
  /** Told of each file that is held open. */
  readonly onOpen?: (file: OpenedFile) => void;
  /** What is seen from an address. */
  readonly treeFor?: (address: string) => FileTree | undefined;
}

/** A server without a network, whose clock is moved by hand. */
export class TestServer {
  readonly clock: ManualClock;
  readonly tree: FileTree;
  readonly server: Nfs4Server;
  /** File ids of the files that are held open. */
  readonly held: bigint[] = [];
  readonly errors: string[] = [];
  readonly #controller = new AbortController();
  readonly connection: RpcConnection;

  constructor(choices: TestServerChoices = {}) {
    this.clock = choices.clock ?? new ManualClock();
    const tree = choices.tree ?? new MemoryTree({ 'model/weights': 'tensors', 'model/config': '{}' });
    this.tree = tree;
    const exports: NfsExports = {
      treeFor: choices.treeFor === undefined ? () => tree : ({ address }) => choices.treeFor?.(address),
      source: { name: 'none', read: () => staticLease(), close: () => Promise.resolve() },
      usage: {
        read: () => undefined,
        open: (file) => {
          choices.onOpen?.(file);
          this.held.push(file.fileId);
          return () => void this.held.splice(this.held.indexOf(file.fileId), 1);
        },
      },
      statistics: () => Promise.resolve({ bytes: 0, files: 0 }),
      onError: (what) => void this.errors.push(what),
    };
    let next = 0;
    this.server = nfs4Server(exports, {
      clock: this.clock,
      // The first word is the boot value; the numbers of clients begin after the second.
      random: (bytes) => {
        next += 1;
        return Buffer.concat([Buffer.alloc(bytes - 4), words(next === 1 ? (choices.boot ?? 0xb007) : next)]);
      },
      ...(choices.limits === undefined ? {} : { limits: choices.limits }),
    });
    this.connection = this.connect();
  }

  connect(address = '192.0.2.7'): RpcConnection {
    return { peer: { address, port: 700, security: 'none' }, signal: this.#controller.signal };
  }

  /** Sends the arguments of COMPOUND. */
  async send(args: Uint8Array, choices: CallChoices = {}): Promise<CompoundReply> {
    const writer = new XdrWriter();
    // What the RPC server has written before.
    writer.raw(Buffer.alloc(24));
    const procedure = this.server.version.get(1);
    await procedure?.call(new XdrReader(args), writer, {
      connection: choices.connection ?? this.connection,
      credential: choices.credential ?? { flavor: 'none' },
      xid: 1,
      argumentBytes: args.byteLength,
      signal: choices.signal ?? this.connection.signal,
      reserve: choices.reserve ?? (() => undefined),
    });
    const written = writer.finish();
    const bytes = Buffer.concat(written.buffers).subarray(24);
    written.release();
    return parseReply(bytes);
  }

  /** Sends operations outside of a session. */
  compound(operations: readonly Uint8Array[], minor = 1, choices: CallChoices = {}): Promise<CompoundReply> {
    return this.send(compoundArguments(minor, operations), choices);
  }
}

/** What a test chooses of one call. */
export interface CallChoices {
  readonly connection?: RpcConnection;
  readonly credential?: RpcCredential;
  readonly signal?: AbortSignal;
  readonly reserve?: RpcCall['reserve'];
}

/** EXCHANGE_ID without state protection. */
export function exchangeIdOp(owner: string, verifier = 1, flags = 0): Buffer {
  return op(42, words(0, verifier), opaque(owner), words(flags, 0, 0));
}

/** Sizes that Linux asks for; the attributes of a channel in their order. */
export const LINUX_FORE = [0, 1_049_620, 1_049_480, 7_584, 8, 64, 0] as const;
const LINUX_BACK = [0, 4096, 4096, 0, 2, 16, 0] as const;

/** CREATE_SESSION, asking for what Linux does. */
export function createSessionOp(
  clientId: Uint8Array,
  sequence: number,
  fore: readonly number[] = LINUX_FORE,
): Buffer {
  return op(43, clientId, words(sequence, 0x3, ...fore, ...LINUX_BACK, 0x4000_0000, 1, 0));
}

/** A client with one session. */
export class TestClient {
  readonly server: TestServer;
  readonly clientId: Buffer;
  readonly sessionId: Buffer;
  readonly minor: number;
  readonly #sequences = new Map<number, number>();

  private constructor(server: TestServer, clientId: Buffer, sessionId: Buffer, minor: number) {
    this.server = server;
    this.clientId = clientId;
    this.sessionId = sessionId;
    this.minor = minor;
  }

  /** Makes itself known, makes a session and, unless told otherwise, completes its reclaims. */
  static async start(
    server: TestServer,
    owner = 'client',
    choices: {
      verifier?: number;
      fore?: readonly number[];
      reclaimed?: boolean;
      minor?: number;
      connection?: RpcConnection;
    } = {},
  ): Promise<TestClient> {
    const { verifier = 1, fore = LINUX_FORE, reclaimed = true, minor = 1, connection } = choices;
    const on = connection === undefined ? {} : { connection };
    const introduced = await server.compound([exchangeIdOp(owner, verifier)], minor, on);
    const clientId = introduced.last.body.subarray(0, 8);
    const sequence = introduced.last.body.readUInt32BE(8);
    const created = await server.compound([createSessionOp(clientId, sequence, fore)], minor, on);
    if (created.status !== 0) throw new Error(`no session: ${created.status}`);
    const client = new TestClient(server, clientId, created.last.body.subarray(0, 16), minor);
    if (reclaimed) await client.call([op(58, words(0))], on);
    return client;
  }

  /** SEQUENCE as bytes. */
  sequenceOp(sequence: number, { slot = 0, highest = 0, keep = false } = {}): Buffer {
    return op(53, this.sessionId, words(sequence, slot, highest, keep ? 1 : 0));
  }

  /** Sends operations after the next SEQUENCE of a slot. */
  call(
    operations: readonly Uint8Array[],
    { slot = 0, keep = false, ...choices }: CallChoices & { slot?: number; keep?: boolean } = {},
  ): Promise<CompoundReply> {
    const sequence = (this.#sequences.get(slot) ?? 0) + 1;
    this.#sequences.set(slot, sequence);
    const first = this.sequenceOp(sequence, { slot, highest: slot, keep });
    return this.server.send(compoundArguments(this.minor, [first, ...operations]), choices);
  }
}

export const PUTROOTFH = op(24);

/** PUTROOTFH and a LOOKUP for each name. */
export function walk(...names: readonly string[]): Buffer[] {
  return [PUTROOTFH, ...names.map((name) => op(15, opaque(name)))];
}

/** OPEN by name, for reading unless told otherwise. */
export function openOp(
  name: string,
  { access = 1, deny = 0, owner = 'owner', create = undefined as Uint8Array | undefined } = {},
): Buffer {
  const how = create === undefined ? words(0) : Buffer.concat([words(1), create]);
  return op(18, words(0, access, deny, 0, 0), opaque(owner), how, words(0), opaque(name));
}
