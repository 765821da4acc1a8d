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
import { isLoopback } from '../../protocols/http/guard.js';
import { healthRoutes } from '../../protocols/http/health-routes.js';
import { acquireOwnership } from '../../storage/files/ownership.js';
import { Heartbeat } from './heartbeat.js';
import { fetchNodeSlice, type FetchedNodeSlice, type FetchNodeSliceOptions } from './fetch-node-slice.js';
import type { NodeSlice, SliceContext } from './node-slice.js';
import { openNodeDoor } from './node-door.js';
import { openSlice, type OpenedSlice } from './open-slice.js';
import { isSecured } from './secured-access.js';

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
  /**
   * Resolves with the reason if the blocks cannot be run any more, or the node may not be one any more, when it has closed itself; never
   * otherwise.
   */
  readonly failed: Promise<CalyxError>;
  /** Leaves the cluster and frees everything. */
  close(): Promise<void>;
}

/**
 * Fetches the blocks of a node, or takes those of a slice that is there, loads them and serves them. With a credential of a cluster
 * it serves by mutual TLS, and others only on loopback or with `insecure`.
 *
 * @throws CalyxError as {@link fetchNodeSlice}, {@link openSlice} and {@link openNodeDoor} do; `refused` for an address beyond loopback,
 * `usage` for one that others cannot call, `busy` if the directory or the port is taken
 */
export async function runNode(config: NodeConfig): Promise<RunningNode> {
  checkOpenness(config);
  checkReachable(config);
  // A port that is taken should be told before hours of fetching, not after.
  await checkFree(config.listen);
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    // Whether a node may join should be told before hours of fetching, too.
    const door = await openNodeDoor(config);
    closers.push(() => door.close());
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
    const listener = await door.listener();
    const server = createHttpServer({ logger, hostNames, ...listener });
    await server.register(stageServer, {
      stage,
      identity: { model, revision },
      config: slice.config,
      doorkeeper: listener.doorkeeper,
    });
    healthRoutes(server, nodeMetrics(slice));
    door.keepFresh(server);
    const listening = await listen(server, config.listen);
    closers.push(() => server.close());
    const url = (config.advertise ?? new URL(listening)).href.replace(/\/$/, '');
    const name = config.name ?? new URL(url).host;
    const record = { id: randomUUID(), name, url, model, revision, blocks, embed, head };
    const heartbeat = new Heartbeat(config.stores, record, logger);
    closers.push(() => heartbeat.stop());
    await heartbeat.start();
    const failed = Promise.race([stage.failed, door.over]).then(async (error) => {
      logger.error({ err: error }, 'the node cannot serve its blocks any more, and leaves');
      await close().catch((problem: unknown) =>
        logger.error({ err: problem }, `closing failed: ${errorMessage(problem)}`),
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

/** Refuses to let everybody in, unless that was asked for; and to be asked for it where it cannot be. */
function checkOpenness({ listen: { host }, insecure, stores, advertise }: NodeConfig): void {
  if (isSecured(stores)) {
    if (insecure)
      throw new CalyxError('usage', '--insecure does not go with a cluster that was joined', {
        hint: 'leave it out: the node listens with TLS, and knows by certificates who asks',
      });
    if (advertise !== undefined && advertise.protocol !== 'https:')
      throw new CalyxError('usage', `${advertise.href} is not how others reach a node with TLS`, {
        hint: `--advertise https://${advertise.host}`,
      });
    return;
  }
  if (insecure || isLoopback(host)) return;
  throw new CalyxError(
    'refused',
    `listening on ${host} would let everyone who reaches this machine use the node`,
    {
      hint: "let the node join the cluster, so that it knows who asks ('calyx join', with what 'calyx token create --role node' printed); or listen on 127.0.0.1, or add --insecure if the network is trusted",
    },
  );
}

/** Refuses to register an address that means "all of this machine's own": nobody could call it. */
function checkReachable({ listen: { host, port }, advertise, stores }: NodeConfig): void {
  if (advertise !== undefined || !isWildcard(host)) return;
  throw new CalyxError('usage', `${host} is every address of this machine, none that others could call`, {
    hint: `say how they reach this node: --advertise ${isSecured(stores) ? 'https' : 'http'}://ADDRESS:${port === 0 ? 'PORT' : port}`,
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
