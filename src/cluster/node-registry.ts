import { systemClock, type Clock } from '../core/clock.js';
import { CalyxError } from '../core/errors.js';

/** What a node tells the store about itself. */
export interface NodeRecord {
  /** Chosen by the node at its start. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  /** Where its stage can be reached. */
  readonly url: string;
  readonly model: string;
  readonly revision: string;
  readonly blocks: { readonly start: number; readonly end: number };
  readonly embed: boolean;
  readonly head: boolean;
}

/** Whose record it is: the id of a token, undefined where nobody is asked for one. */
type Owner = string | undefined;

/** Options of {@link NodeRegistry}. */
export interface NodeRegistryOptions {
  /** A node that has not been heard of for so long is gone. @default 15000 */
  readonly lifetimeMs?: number;
  /** @default 4096 */
  readonly maxNodes?: number;
  /** Of those, how many one token may have. Where nobody is asked for one, there is no such bound. @default 1024 */
  readonly maxNodesPerToken?: number;
  readonly clock?: Clock;
}

/** How many nodes a store knows unless something else is said. */
export const NODE_PLACES = { maxNodes: 4_096, maxNodesPerToken: 1_024 } as const;

const LIFETIME_MS = 15_000;

/**
 * Which nodes serve which blocks. Soft state: nodes tell it again and again, and who falls silent is forgotten, so nothing has to
 * be stored or repaired.
 */
export class NodeRegistry {
  readonly lifetimeMs: number;
  readonly #maxNodes: number;
  readonly #maxNodesPerToken: number;
  readonly #clock: Clock;
  readonly #nodes = new Map<string, { record: NodeRecord; owner: Owner; heardAt: number }>();

  constructor(options: NodeRegistryOptions = {}) {
    this.lifetimeMs = options.lifetimeMs ?? LIFETIME_MS;
    this.#maxNodes = options.maxNodes ?? NODE_PLACES.maxNodes;
    this.#maxNodesPerToken = options.maxNodesPerToken ?? NODE_PLACES.maxNodesPerToken;
    this.#clock = options.clock ?? systemClock;
  }

  /**
   * Adds a node or renews it.
   *
   * @throws CalyxError `unavailable` if there are too many, `over-budget` if there are too many of `owner`, `refused` if it is not `owner`
   * who has added it
   */
  put(record: NodeRecord, owner?: string): void {
    this.#forgetSilent();
    this.#checkOwner(record.id, owner);
    if (!this.#nodes.has(record.id)) this.#checkPlace(owner);
    this.#nodes.set(record.id, { record, owner, heardAt: this.#clock.now() });
  }

  /** Forgets a node that leaves. Throws CalyxError `refused` if it is not `owner` who has added it. */
  remove(id: string, owner?: string): void {
    this.#forgetSilent();
    this.#checkOwner(id, owner);
    this.#nodes.delete(id);
  }

  /** A node that is alive. */
  find(id: string): NodeRecord | undefined {
    this.#forgetSilent();
    return this.#nodes.get(id)?.record;
  }

  /** Forgets all nodes of a token that counts no more. */
  removeOf(owner: string): void {
    for (const [id, node] of this.#nodes) if (node.owner === owner) this.#nodes.delete(id);
  }

  /** The nodes that are alive, in the order in which they came; only those of `model` if it is given. */
  list(model?: string): NodeRecord[] {
    this.#forgetSilent();
    return [...this.#nodes.values()]
      .map(({ record }) => record)
      .filter((record) => model === undefined || record.model === model);
  }

  #checkOwner(id: string, owner: Owner): void {
    const known = this.#nodes.get(id);
    if (known === undefined || known.owner === owner) return;
    throw new CalyxError('refused', `the node ${id} was registered with another token`, {
      hint: 'only who has registered a node may change it; it is forgotten when it falls silent',
    });
  }

  #checkPlace(owner: Owner): void {
    if (this.#nodes.size >= this.#maxNodes)
      throw new CalyxError('unavailable', `the store knows ${this.#maxNodes} nodes already, its limit`, {
        hint: 'one that leaves, or falls silent for some seconds, makes room',
      });
    if (owner === undefined) return;
    let own = 0;
    for (const node of this.#nodes.values()) if (node.owner === owner) own += 1;
    if (own >= this.#maxNodesPerToken)
      throw new CalyxError('over-budget', `there are ${own} nodes of the token ${owner} already, its limit`, {
        hint: 'give nodes tokens of their own: calyx token create --role node',
      });
  }

  #forgetSilent(): void {
    const oldest = this.#clock.now() - this.lifetimeMs;
    for (const [id, { heardAt }] of this.#nodes) if (heardAt < oldest) this.#nodes.delete(id);
  }
}
