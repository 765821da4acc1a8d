/** An object of a bucket as it was when it was listed. */
export interface StoredObject {
  /** Relative to the bucket's prefix, with `/`. */
  readonly key: string;
  /** In bytes. */
  readonly size: number;
  /** Equal as long as the content is (the ETag); says nothing about the content itself. */
  readonly version: string;
}

/** Object storage below one prefix. Each call is one attempt, with a deadline of its own for a server that says nothing. */
export interface ObjectBucket {
  /** What messages call it: `s3://bucket/prefix`. */
  readonly name: string;
  /** All objects below the prefix, ascending by key. Throws CalyxError as {@link ObjectBucket.read} does. */
  list(signal: AbortSignal): Promise<readonly StoredObject[]>;
  /**
   * Fills the whole of `target` with the object's bytes from `offset`, if it is still this one.
   *
   * @throws CalyxError `changed` if another object has its key now, `not-found` if none has; `unavailable`, `timeout` or `limited` if
   *   another attempt may help; `refused` or `unauthenticated` if the credentials do not count (any more)
   */
  read(object: StoredObject, offset: number, target: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Writes an object whole. Throws CalyxError `refused` if it may not be written. */
  put(key: string, bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** Ends all connections. */
  close(): Promise<void>;
}
