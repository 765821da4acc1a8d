import { MAX_READ_BYTES } from '../nfs/limits.js';
import { ANONYMOUS_STATE_ID } from '../nfs4/state-id.js';
import { bind } from './compound.js';
import { LOOKUP, NODE_MASK, PUTFH, PUTROOTFH, READ, READDIR } from './nfs4-calls.js';
import {
  pathNames,
  type NfsReader,
  type RemoteBytes,
  type RemoteEntry,
  type RemoteNode,
} from './nfs-reader.js';
import type { RpcCaller } from './rpc-caller.js';
import { nodeOf, Session } from './session.js';

const LIST_BYTES = 262_144;

/** Reads by NFSv4.1 (RFC 8881) with a session of its own, without opening files. */
export class Nfs41Reader implements NfsReader {
  readonly version = '4.1';
  readonly root: RemoteNode;
  readonly maxInFlight: number;
  readonly #session: Session;

  /** Makes a session and looks up `path` from the server's root; throws CalyxError. The reader closes `rpc`. */
  static async open(rpc: RpcCaller, path: string, signal: AbortSignal): Promise<Nfs41Reader> {
    const session = await Session.open(rpc, signal);
    try {
      const names = pathNames(path).map((name) => bind(LOOKUP, { name }));
      const root = await session.node([bind(PUTROOTFH, undefined), ...names], `looking up ${path}`, signal);
      return new Nfs41Reader(session, root);
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  private constructor(session: Session, root: RemoteNode) {
    this.#session = session;
    this.root = root;
    this.maxInFlight = session.slots;
  }

  lookup(directory: RemoteNode, name: string, signal: AbortSignal): Promise<RemoteNode> {
    const operations = [bind(PUTFH, directory), bind(LOOKUP, { name })];
    return this.#session.node(operations, `looking up ${name}`, signal);
  }

  async list(directory: RemoteNode, limit: number, signal: AbortSignal): Promise<RemoteEntry[]> {
    const found: RemoteEntry[] = [];
    let cookie = 0n;
    let verifier: Uint8Array = new Uint8Array(8);
    while (found.length < limit) {
      const [, page] = await this.#session.call(
        [
          bind(PUTFH, directory),
          bind(READDIR, {
            cookie,
            verifier,
            directoryBytes: LIST_BYTES,
            maxBytes: LIST_BYTES,
            mask: NODE_MASK,
          }),
        ],
        'listing a directory',
        signal,
      );
      for (const entry of page.entries) {
        cookie = entry.cookie;
        found.push({
          name: Buffer.from(entry.name).toString('utf8'),
          node: nodeOf(entry.attributes.mask, entry.attributes.values),
        });
      }
      if (page.end || page.entries.length === 0) break;
      verifier = Uint8Array.from(page.verifier);
    }
    return found.slice(0, limit);
  }

  attributes(node: RemoteNode, signal: AbortSignal): Promise<RemoteNode> {
    return this.#session.node([bind(PUTFH, node)], 'asking for attributes', signal);
  }

  async read(file: RemoteNode, offset: number, length: number, signal: AbortSignal): Promise<RemoteBytes> {
    const count = Math.min(length, MAX_READ_BYTES);
    const [, { data, end }] = await this.#session.call(
      [bind(PUTFH, file), bind(READ, { stateId: ANONYMOUS_STATE_ID, offset, count })],
      `reading at ${offset}`,
      signal,
    );
    return { bytes: data, end };
  }

  close(): Promise<void> {
    return this.#session.close();
  }
}
