import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CalyxError, fileError } from '../../core/errors.js';
import { cacheFolder, type ModelSpec } from '../../core/names.js';
import type { BlockRange } from '../../core/block-range.js';
import { checkBlockRange } from '../../core/block-range.js';
import { formatSize } from '../../core/units.js';
import { partsOfRange } from '../../catalog/slice-spec.js';
import { parseDecoderConfig } from '../../inference/decoder-config.js';
import { directoryBytes } from '../../storage/files/directory-bytes.js';
import { fetchRevision, type FetchedModel } from '../fetch/fetch-model.js';
import { nodeParts, nodeSlice, settleRevision, type NodeSlice, type SliceContext } from './node-slice.js';

/** Options of {@link fetchNodeSlice}. */
export interface FetchNodeSliceOptions extends SliceContext {
  readonly spec: ModelSpec;
  readonly blocks: BlockRange;
  /** The node's data directory; it belongs to the node alone. */
  readonly dataDirectory: string;
  readonly budgetBytes: number | undefined;
}

/** A slice that was fetched, and what that took. */
export interface FetchedNodeSlice extends NodeSlice {
  readonly fetched: FetchedModel;
}

/**
 * Brings a node's blocks to its disk. The configuration comes first, so that a model which the embedded engine cannot run
 * costs no download. Stores that do not answer yet are waited for.
 *
 * @throws CalyxError as `fetchSlice` does; `unsupported` naming what the engine lacks
 */
export async function fetchNodeSlice(options: FetchNodeSliceOptions): Promise<FetchedNodeSlice> {
  const { stores, spec, signal, blocks, onTotal, onBytes } = options;
  const revision = await settleRevision(spec, options);
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
  const parts = nodeParts(blocks, config.blockCount);
  const fetched = await fetchRevision(revision, {
    ...common,
    add: () => parts,
    ...(onTotal === undefined ? {} : { onTotal }),
    ...(onBytes === undefined ? {} : { onBytes }),
  });
  const bytesOnDisk = await directoryBytes(options.dataDirectory);
  return {
    ...(await nodeSlice(revision, { blocks, directory, config, bytesOnDisk })),
    fetched: {
      ...fetched,
      bytesFetched: fetched.bytesFetched + first.bytesFetched,
      chunks: fetched.chunks + first.chunks,
      retries: fetched.retries + first.retries,
      seconds: fetched.seconds + first.seconds,
    },
  };
}

function leftOver(options: FetchNodeSliceOptions, budgetBytes: number, others: number): number {
  if (others < budgetBytes) return budgetBytes - others;
  throw new CalyxError(
    'over-budget',
    `${options.dataDirectory} holds ${formatSize(others)} of other data, which leaves nothing of the budget of ${formatSize(budgetBytes)}`,
    { hint: 'remove what is not needed there, or raise --budget' },
  );
}
