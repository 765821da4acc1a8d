import type { BlockRange } from '../core/block-range.js';

/** What goes into a stage: token ids `[n]` if it embeds, else hidden states `[n, hidden]`, row-major. */
export type StageInput =
  | { readonly kind: 'tokens'; readonly data: BigInt64Array<ArrayBuffer> }
  | { readonly kind: 'hidden'; readonly data: Float32Array<ArrayBuffer> };

/** What comes out: hidden states `[n, hidden]`, or the logits `[vocab]` of the last position if the stage has the head. */
export type StageOutput =
  | { readonly kind: 'hidden'; readonly data: Float32Array<ArrayBuffer> }
  | { readonly kind: 'logits'; readonly data: Float32Array<ArrayBuffer> };

/** Settings of one call. */
export interface CallOptions {
  readonly signal?: AbortSignal;
}

/**
 * One stage of a pipeline, wherever it runs: in this process (`StageHost`) or on a node (`StageClient`).
 *
 * Sessions are named by their opener, and an id is never reused. Whoever knows it can use the session; a node keeps those of
 * different tokens apart (`StageSessions`). The KV cache of a session belongs to the stage. `forward` at a position before the session's end rewinds it first, so a call whose answer was lost
 * can be made again; a position past the end is refused, because it would compute with a gap.
 */
export interface StageLink {
  /** How errors name the stage: a URL, or `this process`. */
  readonly name: string;
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;

  /**
   * Starts a session of at most `maxTokens` positions.
   *
   * @throws CalyxError `usage` for a length past the model's context, `busy` if the stage's limits are reached
   */
  open(sessionId: string, maxTokens: number, options?: CallOptions): Promise<void>;

  /**
   * Runs the new positions `position` to `position + n - 1` through the blocks. The input's buffer may be handed over, so
   * the caller must not use it afterwards.
   *
   * @throws CalyxError `not-found` if the session is not open (any more), `usage` for a wrong position or input,
   * `unavailable` if the stage is gone or does not answer in time
   */
  forward(
    sessionId: string,
    position: number,
    input: StageInput,
    options?: CallOptions,
  ): Promise<StageOutput>;

  /** Ends a session and frees its cache. Closing one that is not open does nothing. */
  close(sessionId: string, options?: CallOptions): Promise<void>;
}
