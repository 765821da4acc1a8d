import { join } from 'node:path';
import type { Logger } from 'pino';
import { formatModelName, type ModelSpec } from '../../core/names.js';
import type { StoreAccess } from '../../core/access.js';
import type { BlockRange } from '../../core/block-range.js';
import { partsOfRange } from '../../catalog/slice-spec.js';
import type { DecoderConfig } from '../../inference/decoder-config.js';
import { StoreClient, type RemoteRevision } from '../../protocols/http/store-client.js';
import { partFile, type PartId } from '../../weights/parts.js';
import { readSafetensorsFile } from '../../weights/safetensors-file.js';
import type { TensorLocation } from '../../weights/tensor.js';
import { checkRunnable } from '../embedded-engine.js';
import { firstContact } from './first-contact.js';

/** What a node needs to run its blocks. */
export interface NodeSlice {
  readonly model: string;
  readonly revision: string;
  readonly blocks: BlockRange;
  readonly directory: string;
  readonly config: DecoderConfig;
  readonly tensors: readonly TensorLocation[];
  /** The node with the first block also embeds. */
  readonly embed: boolean;
  /** The node with the last block also has the head. */
  readonly head: boolean;
  /** Bytes of the node's own directory. */
  readonly bytesOnDisk: number;
}

/** What every way of coming by a slice needs. */
export interface SliceContext {
  /** Stores that know the model; those that do not answer yet are waited for. */
  readonly stores: StoreAccess;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Called with the bytes that are to be read. */
  readonly onTotal?: (bytes: number) => void;
  readonly onBytes?: (bytes: number) => void;
}

/** The parts that a node with these blocks runs. */
export function nodeParts(blocks: BlockRange, blockCount: number): PartId[] {
  return partsOfRange(blocks, blocks.start === 0, blocks.end === blockCount);
}

/**
 * Settles which revision is meant, once, so that a ref that moves meanwhile cannot mix two.
 *
 * @throws CalyxError `unsupported` if the embedded engine cannot run weights of its form
 */
export async function settleRevision(
  spec: ModelSpec,
  { stores, signal, logger }: SliceContext,
): Promise<RemoteRevision> {
  const client = new StoreClient(stores);
  try {
    const revision = await firstContact(() => client.resolve(spec, signal), { signal, logger });
    checkRunnable(revision);
    return revision;
  } finally {
    await client.close();
  }
}

/** A slice whose parts are complete in a directory. Throws CalyxError `not-found`, `invalid-model`, `unreadable`. */
export async function nodeSlice(
  { model, revision, manifest }: Pick<RemoteRevision, 'model' | 'revision' | 'manifest'>,
  parts: Omit<NodeSlice, 'model' | 'revision' | 'tensors' | 'embed' | 'head'>,
): Promise<NodeSlice> {
  const { blocks, directory } = parts;
  return {
    ...parts,
    model: formatModelName(model),
    revision,
    embed: blocks.start === 0,
    head: blocks.end === manifest.blockCount,
    tensors: await locateTensors(directory, nodeParts(blocks, manifest.blockCount)),
  };
}

async function locateTensors(directory: string, parts: readonly PartId[]): Promise<TensorLocation[]> {
  const located = await Promise.all(
    parts.map(async (part) => {
      const file = partFile(part, 'safetensors');
      const { tensors } = await readSafetensorsFile(join(directory, file));
      return tensors.map((tensor) => ({ ...tensor, file }));
    }),
  );
  return located.flat();
}
