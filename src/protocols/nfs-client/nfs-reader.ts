/** A file or a directory on a server. */
export interface RemoteNode {
  readonly handle: Uint8Array;
  readonly kind: 'directory' | 'file' | 'other';
  /** Bytes. */
  readonly size: number;
}

/** An entry of a directory. */
export interface RemoteEntry {
  readonly name: string;
  /** Undefined if the server did not tell. */
  readonly node: RemoteNode | undefined;
}

/** What a READ gave. */
export interface RemoteBytes {
  readonly bytes: Uint8Array;
  readonly end: boolean;
}

/** Reads from an NFS server without the kernel's client. Every call throws CalyxError. */
export interface NfsReader {
  readonly version: '3' | '4.1';
  /** How many reads the server lets be under way. */
  readonly maxInFlight: number;
  /** Where `open` began. */
  readonly root: RemoteNode;
  lookup(directory: RemoteNode, name: string, signal: AbortSignal): Promise<RemoteNode>;
  /** The entries of a directory, `.` and `..` left out; at most `limit` of them. */
  list(directory: RemoteNode, limit: number, signal: AbortSignal): Promise<RemoteEntry[]>;
  attributes(node: RemoteNode, signal: AbortSignal): Promise<RemoteNode>;
  read(file: RemoteNode, offset: number, length: number, signal: AbortSignal): Promise<RemoteBytes>;
  /** Gives back what the server keeps for us, as far as it answers in time, and ends the connection. */
  close(): Promise<void>;
}

/** The names in a path. */
export function pathNames(path: string): string[] {
  return path.split('/').filter((name) => name !== '');
}
