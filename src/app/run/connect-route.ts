import { formatBlockRange } from '../../core/block-range.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { findRoute, type RouteTarget } from '../../inference/route.js';
import { StageClient } from '../../inference/stage-client.js';
import type { StageHttpOptions } from '../../inference/stage-http.js';
import type { NodeOffer } from '../../protocols/http/store-client.js';

/** Nodes that answer, in the order in which a prompt passes them. */
export interface ConnectedRoute {
  readonly nodes: readonly NodeOffer[];
  /** The connection to each of the nodes. */
  readonly stages: readonly StageClient[];
}

/**
 * Connects to the nodes of a route. Stores remember a node for a while after it died: one that does not answer, or runs
 * something else by now, is left out, and the others are asked for another route.
 *
 * @param revision what all of them must run
 * @param reach how connections to a node are made; what it throws is the failure of that node alone
 * @throws CalyxError as {@link findRoute} does if the nodes that answer make no route, with the failures of the others
 */
export async function connectRoute(
  offers: readonly NodeOffer[],
  target: RouteTarget,
  revision: string,
  reach: (url: string) => StageHttpOptions,
  signal: AbortSignal,
): Promise<ConnectedRoute> {
  const identity = { model: target.model, revision };
  const connected = new Map<NodeOffer, StageClient>();
  const failed = new Map<NodeOffer, unknown>();
  const disconnect = async (but: readonly StageClient[]): Promise<void> => {
    const unused = [...connected.values()].filter((stage) => !but.includes(stage));
    await Promise.all(unused.map((stage) => stage.disconnect()));
  };
  const connect = async (node: NodeOffer): Promise<void> => {
    try {
      const stage = await StageClient.connect(node.url, identity, { ...reach(node.url), signal });
      connected.set(node, stage);
      checkOffer(node, stage);
    } catch (error) {
      failed.set(node, error);
    }
  };
  try {
    for (;;) {
      const nodes = routeWithout(failed, offers, target);
      await Promise.all(nodes.filter((node) => !connected.has(node)).map(connect));
      signal.throwIfAborted();
      if (nodes.some((node) => failed.has(node))) continue;
      const stages = nodes.flatMap((node) => connected.get(node) ?? []);
      await disconnect(stages);
      return { nodes, stages };
    }
  } catch (error) {
    await disconnect([]);
    throw error;
  }
}

function routeWithout(
  failed: ReadonlyMap<NodeOffer, unknown>,
  offers: readonly NodeOffer[],
  target: RouteTarget,
): NodeOffer[] {
  try {
    return findRoute(
      offers.filter((offer) => !failed.has(offer)),
      target,
    );
  } catch (error) {
    if (!isCalyxError(error) || failed.size === 0) throw error;
    const reasons = [...failed.values()].map(errorMessage).join('; ');
    throw new CalyxError(error.code, `${error.message} (${reasons})`, {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      cause: [...failed.values()][0],
    });
  }
}

/** Another node may have taken the address, with other blocks. */
function checkOffer({ blocks, embed, head }: NodeOffer, stage: StageClient): void {
  const same =
    stage.blocks.start === blocks.start &&
    stage.blocks.end === blocks.end &&
    stage.embed === embed &&
    stage.head === head;
  if (same) return;
  throw new CalyxError(
    'changed',
    `${stage.name} runs the blocks ${formatBlockRange(stage.blocks)}, not ${formatBlockRange(blocks)}`,
  );
}
