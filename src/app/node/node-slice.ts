import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { CalyxError, fileError } from '../../core/errors.js';
import { cacheFolder, type ModelSpec } from '../../core/names.js';
import type { BlockRange } from '../../core/block-range.js';
import { checkBlockRange } from '../../core/block-range.js';
import { formatSize } from '../../core/units.js';
import { partsOfRange } from '../../catalog/slice-spec.js';
import { parseDecoderConfig, type DecoderConfig } from '../../inference/decoder-config.js';
import { StoreClient, type RemoteRevision } from '../../protocols/http/store-client.js';
import { directoryBytes } from '../../storage/files/directory-bytes.js';
import { partFile, type PartId } from '../../weights/parts.js';
import { readSafetensorsFile } from '../../weights/safetensors-file.js';
import type { TensorLocation } from '../../weights/tensor.js';
import { firstContact } from './first-contact.js';
import { fetchRevision, type FetchedModel } from '../fetch/fetch-model.js';

/** Options of {@link fetchNodeSlice}. */
export interface NodeSliceOptions {
  readonly stores: readonly URL[];
  readonly spec: ModelSpec;
  readonly blocks: BlockRange;
  /** The node's data directory; it belongs to the node alone. */
  readonly dataDirectory: string;
  readonly budgetBytes: number | undefined;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: (bytes: number) => void;
}

/** What a node needs to run its blocks. */
export interface NodeSlice {
  readonly directory: string;
  readonly config: DecoderConfig;
  readonly tensors: readonly TensorLocation[];
  readonly fetched: FetchedModel;
  /** The node with the first block also embeds. */
  readonly embed: boolean;
  /** The node with the last block also has the head. */
  readonly head: boolean;
  readonly bytesOnDisk: number;
}

/**
 * Brings a node's blocks to its disk. The configuration comes first, so that a model which the embedded engine cannot run
 * costs no download. Stores that do not answer yet are waited for.
 *
 * @throws CalyxError as `fetchSlice` does; `unsupported` naming what the engine lacks
 */
export async function fetchNodeSlice(options: NodeSliceOptions): Promise<NodeSlice> {
  const { stores, signal, blocks, onTotal, onBytes } = options;
  // The revision is settled once, so that a ref that moves meanwhile cannot mix two.
  const revision = await settle(options);
  const directory = join(options.dataDirectory, `${cacheFolder(revision.model)}@${revision.revision}`);
  const others = (await directoryBytes(options.dataDirectory)) - (await directoryBytes(directory));
  const budget =
    options.budgetBytes === undefined ? {} : { budgetBytes: leftOver(options, options.budgetBytes, others) };
  const common = { stores, into: directory, signal, ...budget };
  const first = await fetchRevision(revision, {
    ...common,
    add: () => [],
    // What an earlier start with other blocks has left would only take space, and its parts would count as staying.
    drop: (blockCount) => {
      checkBlockRange(blocks, blockCount);
      const staying = nodeParts(blocks, blockCount);
      return partsOfRange({ start: 0, end: blockCount }, true, true).filter(
        (part) => !staying.includes(part),
      );
    },
  });
  const text = await readFile(join(directory, 'config.json'), 'utf8').catch((error: unknown) => {
    throw fileError(error, 'cannot read', join(directory, 'config.json'));
  });
  const config = parseDecoderConfig(text, `config.json of ${first.model}`);
  checkBlockRange(blocks, config.blockCount);
  const embed = blocks.start === 0;
  const head = blocks.end === config.blockCount;
  const parts = nodeParts(blocks, config.blockCount);
  const fetched = await fetchRevision(revision, {
    ...common,
    add: () => parts,
    ...(onTotal === undefined ? {} : { onTotal }),
    ...(onBytes === undefined ? {} : { onBytes }),
  });
  return {
    directory,
    config,
    tensors: await locateTensors(directory, parts),
    fetched: {
      ...fetched,
      bytesFetched: fetched.bytesFetched + first.bytesFetched,
      chunks: fetched.chunks + first.chunks,
      retries: fetched.retries + first.retries,
      seconds: fetched.seconds + first.seconds,
    },
    embed,
    head,
    bytesOnDisk: await directoryBytes(options.dataDirectory),
  };
}

function nodeParts(blocks: BlockRange, blockCount: number): PartId[] {
  return partsOfRange(blocks, blocks.start === 0, blocks.end === blockCount);
}

async function settle({ stores, spec, signal, logger }: NodeSliceOptions): Promise<RemoteRevision> {
  const client = new StoreClient(stores);
  try {
    return await firstContact(() => client.resolve(spec, signal), { signal, logger });
  } finally {
    await client.close();
  }
}

function leftOver(options: NodeSliceOptions, budgetBytes: number, others: number): number {
  if (others < budgetBytes) return budgetBytes - others;
  throw new CalyxError(
    'over-budget',
    `${options.dataDirectory} holds ${formatSize(others)} of other data, which leaves nothing of the budget of ${formatSize(budgetBytes)}`,
    { hint: 'remove what is not needed there, or raise --budget' },
  );
}

async function locateTensors(directory: string, parts: readonly PartId[]): Promise<TensorLocation[]> {
  const located = await Promise.all(
    parts.map(async (part) => {
      const file = partFile(part);
      const { tensors } = await readSafetensorsFile(join(directory, file));
      return tensors.map((tensor) => ({ ...tensor, file }));
    }),
  );
  return located.flat();
}
