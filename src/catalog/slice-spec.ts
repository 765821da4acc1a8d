import { checkBlockRange, type BlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';
import type { PartId } from '../weights/parts.js';

/** Which parts a slice has. */
export interface SliceSpec {
  readonly blocks: BlockRange;
  /** With the embeddings. */
  readonly embed: boolean;
  /** With the final norm and the output head. */
  readonly head: boolean;
}

/** The name of a slice's directory: `4-8`, `0-4+embed`, `8-12+head`, `0-12+embed+head`. */
export function formatSliceSpec(spec: SliceSpec): string {
  return `${spec.blocks.start}-${spec.blocks.end}${spec.embed ? '+embed' : ''}${spec.head ? '+head' : ''}`;
}

/**
 * Reads the name of a slice's directory.
 *
 * @returns undefined if it is no such name, in its one canonical spelling, or no such range of the model
 */
export function parseSliceSpec(text: string, blockCount: number): SliceSpec | undefined {
  const match = /^(\d{1,5})-(\d{1,5})(\+embed)?(\+head)?$/.exec(text);
  if (match === null) return undefined;
  const spec = {
    blocks: { start: Number(match[1]), end: Number(match[2]) },
    embed: match[3] !== undefined,
    head: match[4] !== undefined,
  };
  if (spec.blocks.start >= spec.blocks.end || spec.blocks.end > blockCount || formatSliceSpec(spec) !== text)
    return undefined;
  return spec;
}

/** The parts of a slice in the model's order: embeddings, blocks, head. Throws CalyxError `usage` for a wrong range. */
export function partsOfSlice(spec: SliceSpec, blockCount: number): PartId[] {
  return partsOfRange(checkBlockRange(spec.blocks, blockCount), spec.embed, spec.head);
}

/** The parts that a range of blocks, or none, and the two ends make, in the model's order. */
export function partsOfRange(range: BlockRange | undefined, embed: boolean, head: boolean): PartId[] {
  const { start, end } = range ?? { start: 0, end: 0 };
  const blocks = Array.from({ length: end - start }, (_, index) => start + index);
  return [...(embed ? (['embed'] as const) : []), ...blocks, ...(head ? (['head'] as const) : [])];
}

/** Sorts parts into the model's order and drops repetitions. */
export function sortParts(parts: Iterable<PartId>): PartId[] {
  const rank = (part: PartId): number => (part === 'embed' ? -1 : part === 'head' ? Infinity : part);
  return [...new Set(parts)].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)));
}

/** Throws CalyxError `usage` if one of `parts` is a block that the model does not have. */
export function checkParts(parts: readonly PartId[], blockCount: number): void {
  const wrong = parts.find((part) => typeof part === 'number' && part >= blockCount);
  if (wrong !== undefined)
    throw new CalyxError('usage', `the model has no block ${wrong}; it has ${blockCount} blocks`);
}
