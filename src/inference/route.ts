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
  const usable = stages
    .filter(({ blocks }) => blocks.start >= 0 && blocks.start < blocks.end && blocks.end <= blockCount)
    .filter(({ blocks, embed, head }) => (blocks.start > 0 || embed) && (blocks.end < blockCount || head))
    .sort(byPreference);
  // Shortest path over block boundaries, breadth first: the first arrival at a boundary has the fewest hops.
  const cameBy = new Map<number, S>();
  let frontier = [0];
  while (frontier.length > 0 && !cameBy.has(blockCount)) {
    const next: number[] = [];
    for (const boundary of frontier) {
      for (const stage of usable) {
        const { start, end } = stage.blocks;
        if (start !== boundary || cameBy.has(end)) continue;
        cameBy.set(end, stage);
        next.push(end);
      }
    }
    frontier = next;
  }
  const route: S[] = [];
  for (let boundary = blockCount; boundary > 0;) {
    const stage = cameBy.get(boundary);
    if (stage === undefined) throw noRoute(stages, target, new Set(cameBy.keys()));
    route.unshift(stage);
    boundary = stage.blocks.start;
  }
  return route;
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

function noRoute(
  stages: readonly AdvertisedStage[],
  target: RouteTarget,
  reached: ReadonlySet<number>,
): CalyxError {
  const { model, blockCount } = target;
  const whole = { start: 0, end: blockCount };
  const command = (ranges: readonly BlockRange[]): string =>
    ranges.map((range) => serveCommand(target, range)).join('; ');
  if (stages.length === 0) {
    return new CalyxError(
      'unavailable',
      `no node serves ${model}; all blocks are missing (${formatBlockRange(whole)})`,
      { hint: `serve them: ${command([whole])}` },
    );
  }
  const missing = missingBlocks(
    stages.map(({ blocks }) => blocks),
    blockCount,
  );
  if (missing.length > 0) {
    return new CalyxError(
      'unavailable',
      `no node serves the blocks ${missing.map(formatBlockRange).join(', ')} of ${model}`,
      { hint: `serve them: ${command(missing)}` },
    );
  }
  for (const [part, blocks] of lackingParts(stages, blockCount)) {
    return new CalyxError('unavailable', `no node serves the ${part} of ${model}`, {
      hint: `the node with the ${part === 'head' ? 'last' : 'first'} block brings it: ${command([blocks])}`,
    });
  }
  // Every block is there, but some ranges overlap instead of joining.
  const from = Math.max(0, ...reached);
  const tail = stages.filter(({ blocks, head }) => blocks.start > from && (blocks.end < blockCount || head));
  const end = Math.min(blockCount, ...tail.map(({ blocks }) => blocks.start));
  const served = [...new Set([...stages].sort(byPreference).map(({ blocks }) => formatBlockRange(blocks)))];
  return new CalyxError(
    'unavailable',
    `the blocks ${served.join(', ')} of ${model} are served, but these ranges do not join: ` +
      `no chain goes on from block ${from}, so ${formatBlockRange({ start: from, end })} are missing in it`,
    { hint: `serve a range that joins: ${command([{ start: from, end }])}` },
  );
}

function lackingParts(
  stages: readonly AdvertisedStage[],
  blockCount: number,
): ['embeddings' | 'head', BlockRange][] {
  const lacking: ['embeddings' | 'head', BlockRange][] = [];
  const first = stages.find(({ blocks }) => blocks.start === 0);
  if (!stages.some(({ blocks, embed }) => blocks.start === 0 && embed) && first !== undefined)
    lacking.push(['embeddings', first.blocks]);
  const last = stages.find(({ blocks }) => blocks.end === blockCount);
  if (!stages.some(({ blocks, head }) => blocks.end === blockCount && head) && last !== undefined)
    lacking.push(['head', last.blocks]);
  return lacking;
}

/** The command line that serves `blocks`. */
function serveCommand({ model, store = 'URL' }: RouteTarget, blocks: BlockRange): string {
  return `calyx node --store ${store} --model ${model} --blocks ${formatBlockRange(blocks)} --data DIR --budget SIZE --listen HOST:PORT`;
}
