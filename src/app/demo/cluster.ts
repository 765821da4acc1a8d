import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { StoreAccess } from '../../core/access.js';
import { formatBlockRange, type BlockRange } from '../../core/block-range.js';
import { formatModelName, type ModelName } from '../../core/names.js';
import { JsonClient } from '../../protocols/http/json-client.js';
import { directoryBytes } from '../../storage/files/directory-bytes.js';
import { addModel, type Added } from '../catalog/add-model.js';
import { Child } from './child.js';
import { DemoTokens } from './tokens.js';

/** The model that comes with the package. */
export const DEMO_MODEL: ModelName = { org: 'calyx', name: 'tiny-calyx' };
const MODEL_DIRECTORY = fileURLToPath(new URL('../../../../models/tiny-calyx', import.meta.url));

const NODES = 3;

/** A node's budget as a share of the model: enough for a third of the blocks, far too small for all. */
const BUDGET_SHARE = 0.45;

/** What a node told. */
export interface DemoNode {
  readonly name: string;
  readonly blocks: string;
  readonly bytesNeeded: number;
  readonly bytesOnDisk: number;
  readonly budget: number;
}

/** What the demo shows while it starts. */
export interface DemoEvents {
  readonly onStore?: (url: string) => void;
  readonly onAdded?: (model: Added) => void;
  readonly onNode?: (node: DemoNode) => void;
}

const fetchedSchema = z.object({ bytesNeeded: z.number() });
const listeningSchema = z.object({ url: z.string() });
const statusSchema = z.object({ blobBytesSent: z.number() });

/**
 * One store and three nodes as real processes on loopback, in a directory that vanishes with them. They speak TLS, and each has a token
 * of its own, as on a real network.
 */
export class DemoCluster {
  readonly directory: string;
  readonly #children: Child[] = [];
  readonly #running = new Set<Child>();
  /** If the process has to end before `stop` is through, nothing is left either. */
  readonly #onExit = (): void => {
    for (const child of this.#running) child.kill();
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5 });
  };
  nodes: DemoNode[] = [];
  added: Added | undefined;
  /** How the store is asked, with a token that may only read. */
  access: StoreAccess | undefined;

  private constructor(directory: string) {
    this.directory = directory;
    process.once('exit', this.#onExit);
  }

  /** Starts everything; if that fails, nothing is left. */
  static async start(signal: AbortSignal, events: DemoEvents = {}): Promise<DemoCluster> {
    const nodeNames = Array.from({ length: NODES }, (_, index) => `node-${index + 1}`);
    const cluster = new DemoCluster(await mkdtemp(join(tmpdir(), 'calyx-demo-')));
    try {
      const dataDirectory = join(cluster.directory, 'store');
      const url = await cluster.#startStore(dataDirectory, signal);
      events.onStore?.(url.href);
      const [added, tokens] = await Promise.all([
        addModel({ dataDirectory, directory: MODEL_DIRECTORY, model: DEMO_MODEL, mode: 'copy', signal }),
        DemoTokens.make(dataDirectory, url, nodeNames, signal),
      ]);
      cluster.added = added;
      cluster.access = tokens.reader;
      events.onAdded?.(added);
      const { blocks, bytes } = added;
      const budget = Math.floor(bytes * BUDGET_SHARE);
      cluster.nodes = await Promise.all(
        splitBlocks(blocks, NODES).map(async (range, index) => {
          const name = nodeNames[index] ?? '';
          const node = await cluster.#startNode(name, range, budget, tokens.joinString(name), signal);
          events.onNode?.(node);
          return node;
        }),
      );
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Bytes of blobs that the store has sent. */
  async bytesSent(): Promise<number> {
    const [url] = this.access?.urls ?? [];
    if (url === undefined) return 0;
    const client = new JsonClient(url, { credential: this.access?.credential });
    try {
      return statusSchema.parse(await client.json('/v1/status')).blobBytesSent;
    } finally {
      await client.close();
    }
  }

  /** Ends all processes, nodes first, and removes all files. */
  async stop(): Promise<void> {
    const [store, ...nodes] = this.#children.splice(0);
    await Promise.all(nodes.map((node) => node.stop()));
    await store?.stop();
    this.#running.clear();
    await rm(this.directory, { recursive: true, force: true });
    process.off('exit', this.#onExit);
  }

  #track(child: Child): void {
    this.#children.push(child);
    this.#running.add(child);
  }

  async #startStore(data: string, signal: AbortSignal): Promise<URL> {
    const store = new Child('the store', [
      'store',
      '--data',
      data,
      '--listen',
      '127.0.0.1:0',
      '--no-nfs',
      '--tls',
      '--json',
    ]);
    this.#track(store);
    const { url } = listeningSchema.parse(await store.event('listening', signal));
    return new URL(url);
  }

  async #startNode(
    name: string,
    range: BlockRange,
    budget: number,
    joinString: string,
    signal: AbortSignal,
  ): Promise<DemoNode> {
    const data = join(this.directory, name);
    const blocks = formatBlockRange(range);
    const args = [
      ...['node', '--name', name, '--model', formatModelName(DEMO_MODEL), '--blocks', blocks],
      ...['--data', data, '--budget', String(budget), '--listen', '127.0.0.1:0', '--json'],
    ];
    const node = new Child(name, args, { CALYX_STORE: joinString });
    this.#track(node);
    const { bytesNeeded } = fetchedSchema.parse(await node.event('fetched', signal));
    await node.event('listening', signal);
    return { name, blocks, bytesNeeded, bytesOnDisk: await directoryBytes(data), budget };
  }
}

/** Cuts `0:count` into ranges of nearly the same length. */
function splitBlocks(count: number, ranges: number): BlockRange[] {
  return Array.from({ length: ranges }, (_, index) => ({
    start: Math.round((index * count) / ranges),
    end: Math.round(((index + 1) * count) / ranges),
  }));
}
