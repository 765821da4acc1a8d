import type { FileNode, FileTree } from '../../catalog/file-tree.js';
import type { ByteSource } from '../../storage/byte-source.js';
import type { RpcPeer } from '../rpc/rpc-program.js';

/** What the NFS programs of all versions serve. */
export interface NfsExports {
  /** What a client may see; undefined if it may see nothing at all. The same tree at each call for one address. */
  treeFor(peer: RpcPeer): FileTree | undefined;
  /** Where the bytes come from. */
  readonly source: ByteSource;
  readonly usage: FileUsage;
  /** What a client sees in `df`. */
  statistics(peer: RpcPeer): Promise<ExportStatistics>;
  /** Told of failures that the client sees as an error, with what it had asked for. */
  onError(what: string, peer: RpcPeer, error: unknown): void;
}

/** Who uses what, so that it is not removed under them. */
export interface FileUsage {
  /** A client read from the file. */
  read(file: FileNode, peer: RpcPeer): void;
  /** A client has the file open, until what this returns is called. */
  open(file: OpenedFile, peer: RpcPeer): () => void;
}

/** What is remembered of a file that a client has open; not its content, so that very many take little. */
export type OpenedFile = Pick<FileNode, 'handle' | 'fileId' | 'revision'>;

/** Bytes and files of all that a client may see. */
export interface ExportStatistics {
  readonly bytes: number;
  readonly files: number;
}
