import type { FileTree } from '../../src/catalog/file-tree.js';
import { CalyxError } from '../../src/core/errors.js';
import { fileOperations } from '../../src/protocols/nfs4/file-operations.js';
import type { Compound } from '../../src/protocols/nfs4/operation.js';
import type { StateId } from '../../src/protocols/nfs4/state-id.js';
import { NFS4, Nfs4Error } from '../../src/protocols/nfs4/status.js';
import { XdrError } from '../../src/protocols/xdr/xdr-error.js';
import { XdrReader } from '../../src/protocols/xdr/xdr-reader.js';
import { XdrWriter } from '../../src/protocols/xdr/xdr-writer.js';
import { staticLease, type ByteSource } from '../../src/storage/byte-source.js';

/** What the parts of a {@link fakeCompound} were told. */
export interface CompoundLog {
  readonly reads: number[];
  readonly reserved: number[];
  readonly states: StateId[];
  readonly errors: string[];
  statistics: number;
}

/** What a test chooses of a {@link fakeCompound}. */
export interface CompoundChoices {
  readonly tree: FileTree;
  readonly minorVersion?: 1 | 2;
  readonly room?: number;
  readonly source?: Partial<ByteSource>;
  readonly signal?: AbortSignal;
  /** Stateids that are refused as BAD_STATEID have this sequence. */
  readonly badSequence?: number;
}

/** A compound without an engine: operations are run on it one by one. */
export function fakeCompound(choices: CompoundChoices): Compound & { readonly log: CompoundLog } {
  const { tree, minorVersion = 2, room = 1 << 20, source = {}, badSequence } = choices;
  const signal = choices.signal ?? new AbortController().signal;
  const log: CompoundLog = { reads: [], reserved: [], states: [], errors: [], statistics: 0 };
  const peer = { address: '127.0.0.1', port: 700, security: 'none' } as const;
  const unused = (): never => {
    throw new CalyxError('internal', 'not for these operations');
  };
  return {
    log,
    tree,
    minorVersion,
    call: {
      connection: { peer, signal },
      credential: { flavor: 'none' },
      xid: 1,
      argumentBytes: 0,
      signal,
      reserve: (bytes) => void log.reserved.push(bytes),
    },
    exports: {
      treeFor: () => tree,
      source: { name: 'fake', read: () => staticLease(), close: () => Promise.resolve(), ...source },
      usage: { read: (file) => void log.reads.push(Number(file.fileId)), open: unused },
      statistics: () => {
        log.statistics += 1;
        return Promise.resolve({ bytes: 0x1_2345_6789, files: 77 });
      },
      onError: (what, { address }, error) => void log.errors.push(`${what} ${address}: ${String(error)}`),
    },
    client: {
      clientId: 1n,
      opens: {
        open: unused,
        downgrade: unused,
        close: unused,
        checkRead: (id) => {
          log.states.push(id);
          if (id.sequence === badSequence) throw new Nfs4Error(NFS4.BAD_STATEID);
        },
      },
    },
    current: undefined,
    saved: undefined,
    currentStateId: undefined,
    savedStateId: undefined,
    room: () => room,
  };
}

/** Words of hexadecimal digits without what stands between them. */
export function hex(...words: readonly string[]): string {
  return words.join('').replaceAll(/\s/g, '');
}

/** Runs operation `number` with arguments in hexadecimal digits; gives the status and, after NFS4_OK, the result. */
export async function runOperation(
  compound: Compound,
  number: number,
  args = '',
): Promise<{ readonly status: number; readonly result: string; readonly parts: readonly Uint8Array[] }> {
  const reader = new XdrReader(Buffer.from(hex(args), 'hex'));
  const writer = new XdrWriter();
  const operation = fileOperations.get(number);
  if (operation === undefined) throw new Error(`there is no operation ${number}`);
  try {
    const status = await operation.call(reader, writer, compound);
    reader.end();
    const parts = writer.finish().buffers;
    return { status, result: Buffer.concat(parts).toString('hex'), parts };
  } catch (error) {
    if (error instanceof Nfs4Error) return { status: error.status, result: '', parts: [] };
    if (error instanceof XdrError) return { status: NFS4.BADXDR, result: '', parts: [] };
    throw error;
  }
}
