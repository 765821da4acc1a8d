import type { Digest } from '../../core/digest.js';

/** One file of a model that lies elsewhere, as its listing tells. Nothing of it is believed until it was checked. */
export interface RemoteFile {
  /** The path within the model, with `/`, as the source names it. */
  readonly path: string;
  /** In bytes. */
  readonly size: number;
  /** The SHA-256 of its content, where the source knows it. */
  readonly sha256?: Digest;
  /** The id of its git blob (SHA-1 over `blob SIZE\0` and the content), 40 hex digits, where the source knows it. */
  readonly gitBlob?: string;
  /** Equal as long as the content is: an ETag or an id of a version. Says nothing about the content itself. */
  readonly version?: string;
}

/**
 * A model that lies elsewhere: on the Hub, on a mirror of it, in object storage. The files are those of one moment: a
 * source that changes meanwhile fails the read of what has changed with `changed`.
 */
export interface RemoteModel {
  /** What messages call it. */
  readonly name: string;
  /** The commit, 40 hex digits, if the source has such a thing: it becomes the id of the revision. */
  readonly revision?: string;
  readonly files: readonly RemoteFile[];
  /**
   * Fills the whole of `target` with the file's bytes from `offset`. One attempt, with a deadline of its own for a
   * source that sends nothing; the caller asks again.
   *
   * @throws CalyxError `unavailable`, `timeout` or `limited` (which may say after how many seconds) if another attempt
   *   may help; any other code is final
   */
  read(file: RemoteFile, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Ends all connections. */
  close(): Promise<void>;
}
