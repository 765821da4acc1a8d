import { CalyxError } from '../../core/errors.js';
import { MAX_READ_BYTES } from '../nfs/limits.js';
import { handle3 } from '../nfs3/arguments3.js';
import { attributes3 } from '../nfs3/attributes3.js';
import type { Codec } from '../xdr/codec.js';
import { XdrError } from '../xdr/xdr-error.js';
import {
  GETATTR3,
  listArguments,
  listResult,
  LOOKUP3,
  lookupArguments,
  lookupResult,
  MNT,
  mountArguments,
  mountResult,
  nodeOf,
  READ3,
  readArguments,
  READDIRPLUS3,
  readResult,
} from './nfs3-calls.js';
import type { NfsReader, RemoteBytes, RemoteEntry, RemoteNode } from './nfs-reader.js';
import { remoteError } from './remote-error.js';
import type { RemoteProcedure, RpcCaller } from './rpc-caller.js';

/** Servers of version 3 tell no bound; more than this gains nothing. */
const MAX_IN_FLIGHT = 64;
const LIST_BYTES = 262_144;
/** `.` and `..`, which a listing has beside its entries. */
const DOTS = 2;
const FIRST_VERIFIER = new Uint8Array(8);

/** Reads by NFSv3 (RFC 1813), the MOUNT protocol on the same port. */
export class Nfs3Reader implements NfsReader {
  readonly version = '3';
  readonly maxInFlight = MAX_IN_FLIGHT;
  readonly root: RemoteNode;
  readonly #rpc: RpcCaller;

  /** Mounts `path` of the server; throws CalyxError. The reader closes `rpc`. */
  static async open(rpc: RpcCaller, path: string, signal: AbortSignal): Promise<Nfs3Reader> {
    const doing = `mounting ${path} with version 3`;
    const { handle } = await invoke(rpc, MNT, mountArguments, path, mountResult, doing, signal);
    return new Nfs3Reader(rpc, await getAttributes(rpc, copy(handle), doing, signal));
  }

  private constructor(rpc: RpcCaller, root: RemoteNode) {
    this.#rpc = rpc;
    this.root = root;
  }

  async lookup(directory: RemoteNode, name: string, signal: AbortSignal): Promise<RemoteNode> {
    const found = await invoke(
      this.#rpc,
      LOOKUP3,
      lookupArguments,
      { directory: directory.handle, name },
      lookupResult,
      `looking up ${name}`,
      signal,
    );
    if (found.attributes !== undefined) return nodeOf(copy(found.handle), found.attributes);
    return getAttributes(this.#rpc, copy(found.handle), `looking at ${name}`, signal);
  }

  async list(directory: RemoteNode, limit: number, signal: AbortSignal): Promise<RemoteEntry[]> {
    const found: RemoteEntry[] = [];
    let cookie = 0n;
    let verifier: Uint8Array = FIRST_VERIFIER;
    // `.` and `..` count: a server that tells nothing else has an end too.
    for (let told = 0; told < limit + DOTS;) {
      const page = await invoke(
        this.#rpc,
        READDIRPLUS3,
        listArguments,
        { directory: directory.handle, cookie, verifier, directoryBytes: LIST_BYTES, maxBytes: LIST_BYTES },
        listResult,
        'listing a directory',
        signal,
      );
      told += page.entries.length;
      for (const entry of page.entries) {
        cookie = entry.cookie;
        const name = Buffer.from(entry.name).toString('utf8');
        if (name === '.' || name === '..') continue;
        const known = entry.handle !== undefined && entry.attributes !== undefined;
        found.push({ name, node: known ? nodeOf(copy(entry.handle), entry.attributes) : undefined });
      }
      if (page.end || page.entries.length === 0) break;
      verifier = copy(page.verifier);
    }
    return found.slice(0, limit);
  }

  attributes(node: RemoteNode, signal: AbortSignal): Promise<RemoteNode> {
    return getAttributes(this.#rpc, node.handle, 'asking for attributes', signal);
  }

  async read(file: RemoteNode, offset: number, length: number, signal: AbortSignal): Promise<RemoteBytes> {
    const count = Math.min(length, MAX_READ_BYTES);
    const { data, end } = await invoke(
      this.#rpc,
      READ3,
      readArguments,
      { file: file.handle, offset, count },
      readResult,
      `reading at ${offset}`,
      signal,
    );
    return { bytes: data, end };
  }

  close(): Promise<void> {
    this.#rpc.close();
    return Promise.resolve();
  }
}

async function getAttributes(
  rpc: RpcCaller,
  handle: Uint8Array,
  doing: string,
  signal: AbortSignal,
): Promise<RemoteNode> {
  return nodeOf(handle, await invoke(rpc, GETATTR3, handle3, handle, attributes3, doing, signal));
}

/** Calls a procedure whose result begins with a status; of failures only that is of interest. */
async function invoke<Args, Result>(
  rpc: RpcCaller,
  procedure: RemoteProcedure,
  argsCodec: Codec<Args>,
  args: Args,
  resultCodec: Codec<Result>,
  doing: string,
  signal: AbortSignal,
): Promise<Result> {
  const reader = await rpc.call(procedure, (writer) => argsCodec.encode(writer, args), signal);
  try {
    const status = reader.uint32();
    if (status !== 0) throw remoteError(status, doing);
    const result = resultCodec.decode(reader);
    reader.end();
    return result;
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
    throw new CalyxError('unavailable', `${doing}: the answer is malformed (${error.message})`, {
      cause: error,
    });
  }
}

/** What decoding gives are views of a whole answer. */
function copy(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes);
}
