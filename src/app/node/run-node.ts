import { randomUUID } from 'node:crypto';
import { join, resolve } from 'node:path';
import { Registry, Gauge } from 'prom-client';
import { CalyxError, errorMessage, fileError } from '../../core/errors.js';
import { StageHost } from '../../inference/stage-host.js';
import { stageServer } from '../../inference/stage-server.js';
import {
  checkFree,
  createHttpServer,
  listen,
  type ListenAddress,
} from '../../protocols/http/create-server.js';
import { checkListenAddress } from '../../protocols/http/guard.js';
import { healthRoutes } from '../../protocols/http/health-routes.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { Heartbeat } from './heartbeat.js';
import { fetchNodeSlice, type FetchedNodeSlice, type FetchNodeSliceOptions } from './fetch-node-slice.js';
import type { NodeSlice, SliceContext } from './node-slice.js';
import { openSlice, type OpenedSlice } from './open-slice.js';

/** Blocks that are fetched from the stores into the node's own directory. */
export interface BlocksToFetch extends Omit<FetchNodeSliceOptions, keyof SliceContext> {
  readonly from: 'stores';
  /** Called when the blocks are on the disk, before they are loaded. */
  readonly onFetched?: (slice: FetchedNodeSlice) => void;
}

/** Blocks that are in a slice already, on a mount or on a disk; nothing is written. */
export interface BlocksOfSlice {
  readonly from: 'slice';
  readonly directory: string;
}

/** Configuration of a node. */
export interface NodeConfig extends SliceContext {
  readonly source: BlocksToFetch | BlocksOfSlice;
  /** For people; by default made of the address. */
  readonly name: string | undefined;
  readonly listen: ListenAddress;
  readonly insecure: boolean;
  readonly hostNames: readonly string[];
  /** How other machines reach this node, if not by the address it listens on. */
  readonly advertise: URL | undefined;
  /** Threads for the arithmetic. */
  readonly threads: number;
}

/** A node that serves its blocks. */
export interface RunningNode {
  readonly name: string;
  readonly url: string;
  readonly slice: NodeSlice;
  /** Resolves with the reason if the blocks cannot be run any more, when the node has closed itself; never otherwise. */
  readonly failed: Promise<CalyxError>;
  /** Leaves the cluster and frees everything. */
  close(): Promise<void>;
}

/**
 * Fetches the blocks of a node, or takes those of a slice that is there, loads them and serves them.
 *
 * @throws CalyxError as {@link fetchNodeSlice} and {@link openSlice} do; `refused` for an address beyond loopback, `usage` for one that others cannot
 * call, `busy` if the directory or the port is taken
 */
export async function runNode(config: NodeConfig): Promise<RunningNode> {
  checkListenAddress(config.listen.host, config.insecure);
  checkReachable(config);
  // A port that is taken should be told before hours of fetching, not after.
  await checkFree(config.listen);
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    const slice = await takeSlice(config, closers);
    const { signal, threads } = config;
    const { model, revision, blocks, embed, head, directory, tensors } = slice;
    const stage = await StageHost.start(
      { config: slice.config, directory, tensors, blocks, embed, head, threads },
      { signal },
    );
    closers.push(() => stage.stop());
    await slice.checkSame?.();
    const { logger, hostNames } = config;
    const server = createHttpServer({ logger, hostNames });
    await server.register(stageServer, {
      stage,
      identity: { model, revision },
      config: slice.config,
    });
    healthRoutes(server, nodeMetrics(slice));
    const listening = await listen(server, config.listen);
    closers.push(() => server.close());
    const url = (config.advertise ?? new URL(listening)).href.replace(/\/$/, '');
    const name = config.name ?? new URL(url).host;
    const record = { id: randomUUID(), name, url, model, revision, blocks, embed, head };
    const heartbeat = new Heartbeat(config.stores, record, config.logger);
    closers.push(() => heartbeat.stop());
    await heartbeat.start();
    const failed = stage.failed.then(async (error) => {
      config.logger.error({ err: error }, 'the blocks cannot be run any more; the node leaves');
      await close().catch((problem: unknown) =>
        config.logger.error({ err: problem }, `closing failed: ${errorMessage(problem)}`),
      );
      return error;
    });
    return { name, url, slice, failed, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Comes by the blocks; a directory of the node's own is owned until the closers run. */
async function takeSlice(
  config: NodeConfig,
  closers: (() => Promise<void>)[],
): Promise<NodeSlice & Partial<Pick<OpenedSlice, 'checkSame'>>> {
  const { source } = config;
  if (source.from === 'slice') return openSlice(resolve(source.directory), config);
  const dataDirectory = resolve(source.dataDirectory);
  const ownership = await acquireOwnership(join(dataDirectory, '.calyx', 'owners'), {
    description: `calyx node (process ${process.pid})`,
  }).catch((error: unknown) => {
    throw fileError(error, 'cannot use', dataDirectory);
  });
  closers.push(() => ownership.release());
  const slice = await fetchNodeSlice({ ...config, ...source, dataDirectory });
  source.onFetched?.(slice);
  return slice;
}

/** Refuses to register an address that means "all of this machine's own": nobody could call it. */
function checkReachable({ listen: { host, port }, advertise }: NodeConfig): void {
  if (advertise !== undefined || !isWildcard(host)) return;
  throw new CalyxError('usage', `${host} is every address of this machine, none that others could call`, {
    hint: `say how they reach this node: --advertise http://ADDRESS:${port === 0 ? 'PORT' : port}`,
  });
}

/** In any spelling: `0`, `::0`, `::ffff:0.0.0.0`. */
function isWildcard(host: string): boolean {
  const url = `http://${host.includes(':') ? `[${host}]` : host}`;
  return URL.canParse(url) && ['0.0.0.0', '[::]', '[::ffff:0:0]'].includes(new URL(url).hostname);
}

function nodeMetrics({ bytesOnDisk }: NodeSlice): Registry {
  const metrics = new Registry();
  const registers = [metrics];
  const onDisk = new Gauge({
    name: 'calyx_node_disk_bytes',
    help: "Bytes of the node's data directory",
    registers,
  });
  onDisk.set(bytesOnDisk);
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of the process in bytes',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  return metrics;
}
