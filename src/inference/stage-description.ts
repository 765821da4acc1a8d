import { z } from 'zod';
import type { BlockRange } from '../core/block-range.js';

/** Which model a node runs. */
export interface StageIdentity {
  /** `ORG/NAME` */
  readonly model: string;
  /** The revision id; two revisions are never mixed in one pipeline. */
  readonly revision: string;
}

/** What a node says about its stage. */
export interface StageDescription extends StageIdentity {
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;
  readonly hiddenSize: number;
  readonly vocabSize: number;
  /** The most tokens that one forward takes. */
  readonly maxForwardTokens: number;
}

/** Where the routes of a stage begin. */
export const STAGE_PATH = '/v1/stage';

const count = z.int().min(1).max(4_194_304);

/** The JSON of a description: `blocks` is `[start, end]`. */
export const DESCRIPTION = z
  .object({
    model: z.string().max(200),
    revision: z.string().max(200),
    blocks: z.tuple([z.int().min(0).max(100_000), z.int().min(1).max(100_000)]),
    embed: z.boolean(),
    head: z.boolean(),
    hidden_size: count,
    vocab_size: count,
    max_forward_tokens: count,
  })
  .refine(({ blocks }) => blocks[0] < blocks[1], 'an empty block range');

/** Who opens a session, on what: the body of the open call. */
export const OPEN_REQUEST = z.object({
  session: z.string().regex(/^[A-Za-z0-9-]{16,64}$/, 'a session id has 16 to 64 letters, digits and dashes'),
  model: z.string().max(200),
  revision: z.string().max(200),
  max_tokens: z.int().min(1).max(33_554_432),
});

export function descriptionToJson(description: StageDescription): z.input<typeof DESCRIPTION> {
  return {
    model: description.model,
    revision: description.revision,
    blocks: [description.blocks.start, description.blocks.end],
    embed: description.embed,
    head: description.head,
    hidden_size: description.hiddenSize,
    vocab_size: description.vocabSize,
    max_forward_tokens: description.maxForwardTokens,
  };
}

export function descriptionFromJson(json: z.output<typeof DESCRIPTION>): StageDescription {
  return {
    model: json.model,
    revision: json.revision,
    blocks: { start: json.blocks[0], end: json.blocks[1] },
    embed: json.embed,
    head: json.head,
    hiddenSize: json.hidden_size,
    vocabSize: json.vocab_size,
    maxForwardTokens: json.max_forward_tokens,
  };
}
