import { formatBlockRange, missingBlocks, type BlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';

/** A stage that a node offers. */
export interface AdvertisedStage {
  /** The node's name. */
  readonly name: string;
  readonly url: string;
  readonly blocks: BlockRange;
  readonly embed: boolean;
  readonly head: boolean;
}

/** Which model a route is for; the names appear in the command that an error suggests. */
export interface RouteTarget {
  /** `ORG/NAME` */
  readonly model: string;
  readonly blockCount: number;
  /** The store's URL. @default `URL` as a placeholder */
  readonly store?: string;
}

/**
 * Chooses the stages that run the whole model: their ranges join exactly, the first embeds, the last has the head. Of all
 * such chains it takes one with the fewest hops; among those the one with the longest first ranges, then by name and URL.
 * So the same stages, in any order, give the same route.
 *
 * @throws CalyxError `unavailable` saying what is missing and the command that serves it
 */
export function findRoute<S extends AdvertisedStage>(stages: readonly S[], target: RouteTarget): S[] {
  const { blockCount } = target;
  const cameBy = reach(usableStages(stages, blockCount), 0);
  const route: S[] = [];
  for (let boundary = blockCount; boundary > 0;) {
    const stage = cameBy.get(boundary);
    if (stage === undefined) throw noRoute(stages, target);
    route.unshift(stage);
    boundary = stage.blocks.start;
  }
  return route;
}

/** The stages that can be in a chain at all, the preferred first. */
function usableStages<S extends AdvertisedStage>(stages: readonly S[], blockCount: number): S[] {
  return stages
    .filter(({ blocks }) => blocks.start >= 0 && blocks.start < blocks.end && blocks.end <= blockCount)
    .filter(({ blocks, embed, head }) => (blocks.start > 0 || embed) && (blocks.end < blockCount || head))
    .sort(byPreference);
}

/**
 * The block boundaries that a chain from `origin` arrives at, each with the stage that it came by. Breadth first: the first
 * arrival has the fewest hops.
 */
function reach<S extends AdvertisedStage>(stages: readonly S[], origin: number): Map<number, S> {
  const cameBy = new Map<number, S>();
  for (let frontier = [origin]; frontier.length > 0;) {
    const next: number[] = [];
    for (const boundary of frontier) {
      for (const stage of stages) {
        const { start, end } = stage.blocks;
        if (start !== boundary || cameBy.has(end)) continue;
        cameBy.set(end, stage);
        next.push(end);
      }
    }
    frontier = next;
  }
  return cameBy;
}

/** The shortest range with which the stages make a whole chain. */
function smallestGap(stages: readonly AdvertisedStage[], blockCount: number): BlockRange {
  const usable = usableStages(stages, blockCount);
  const from = [0, ...reach(usable, 0).keys()];
  const leadsToEnd = (boundary: number): boolean => reach(usable, boundary).has(blockCount);
  const to = [blockCount, ...new Set(usable.map(({ blocks }) => blocks.start).filter(leadsToEnd))];
  let gap = { start: 0, end: blockCount };
  for (const start of from)
    for (const end of to) if (start < end && end - start < gap.end - gap.start) gap = { start, end };
  return gap;
}

/** True if nodes that serve `ranges` in addition make a whole chain. */
function completes(
  ranges: readonly BlockRange[],
  stages: readonly AdvertisedStage[],
  blockCount: number,
): boolean {
  const added = ranges.map((blocks) => ({
    name: '',
    url: '',
    blocks,
    embed: blocks.start === 0,
    head: blocks.end === blockCount,
  }));
  return reach(usableStages([...stages, ...added], blockCount), 0).has(blockCount);
}

function byPreference(a: AdvertisedStage, b: AdvertisedStage): number {
  return (
    a.blocks.start - b.blocks.start ||
    b.blocks.end - a.blocks.end ||
    compareText(a.name, b.name) ||
    compareText(a.url, b.url)
  );
}

/** By code units: the same everywhere, whatever the locale. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function noRoute(stages: readonly AdvertisedStage[], target: RouteTarget): CalyxError {
  const { model, blockCount } = target;
  const error = (message: string, ranges: readonly BlockRange[]): CalyxError =>
    new CalyxError('unavailable', message, {
      hint: `serve them: ${ranges.map((range) => serveCommand(target, range)).join('; ')}`,
    });
  const gap = smallestGap(stages, blockCount);
  if (stages.length === 0)
    return error(`no node serves ${model}; all blocks are missing (${formatBlockRange(gap)})`, [gap]);
  const missing = missingBlocks(
    stages.map(({ blocks }) => blocks),
    blockCount,
  );
  if (missing.length > 0) {
    const ranges = completes(missing, stages, blockCount) ? missing : [gap];
    return error(`no node serves the blocks ${missing.map(formatBlockRange).join(', ')} of ${model}`, ranges);
  }
  const [lacking] = lackingParts(stages, blockCount);
  if (lacking !== undefined) return error(`no node serves the ${lacking} of ${model}`, [gap]);
  const served = [...new Set([...stages].sort(byPreference).map(({ blocks }) => formatBlockRange(blocks)))];
  return error(
    `the blocks ${served.join(', ')} of ${model} are served, but these ranges do not join: ` +
      `a chain of them still lacks ${formatBlockRange(gap)}`,
    [gap],
  );
}

/** Parts that no node has, although some node has the block beside them. */
function lackingParts(stages: readonly AdvertisedStage[], blockCount: number): string[] {
  const lacking: string[] = [];
  if (!stages.some(({ blocks, embed }) => blocks.start === 0 && embed)) lacking.push('embeddings');
  if (!stages.some(({ blocks, head }) => blocks.end === blockCount && head)) lacking.push('head');
  return lacking;
}

/** The command line that serves `blocks`. */
function serveCommand({ model, store = 'URL' }: RouteTarget, blocks: BlockRange): string {
  return `calyx node --store ${store} --model ${model} --blocks ${formatBlockRange(blocks)} --data DIR --budget SIZE --listen HOST:PORT`;
}
