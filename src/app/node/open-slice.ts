import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatBlockRange, missingBlocks, type BlockRange } from '../../core/block-range.js';
import { sha256 } from '../../core/digest.js';
import { CalyxError, fileError } from '../../core/errors.js';
import { formatModelName } from '../../core/names.js';
import { HashPool } from '../../catalog/ingest/hash-pool.js';
import type { Manifest } from '../../catalog/manifest.js';
import { partCheck } from '../../catalog/part-check.js';
import { readSliceDescription, type SliceDescription } from '../../catalog/slice-description.js';
import { formatSliceSpec } from '../../catalog/slice-spec.js';
import { parseDecoderConfig, type DecoderConfig } from '../../inference/decoder-config.js';
import { sizeOf } from '../../storage/files/size-of.js';
import { partFile } from '../../weights/parts.js';
import { nodeParts, nodeSlice, settleRevision, type NodeSlice, type SliceContext } from './node-slice.js';

const CONFIG_FILE = 'config.json';

/** A server that restarts is back sooner. */
const SILENCE_MS = 30_000;

/** A slice that was there already. */
export interface OpenedSlice extends NodeSlice {
  /** Throws CalyxError `changed` if the directory is another revision's slice by now, as one below a ref that moved. */
  checkSame(): Promise<void>;
}

/**
 * Takes a slice that is there already, on a mount or on a disk, for a node: nothing is written. It says itself which blocks of
 * which revision it holds, and every chunk that the node will run is compared with the revision's manifest. On a mount that
 * reads each byte once over the network, at the speed of sequential reads; the engine then finds it in the page cache. A mount
 * makes reads wait while its server is away, and so does this; it warns of that.
 *
 * @param directory such as `/mnt/calyx/slices/ORG/NAME@REVISION/0-4+embed`
 * @throws CalyxError `not-found` if there is no slice, or no such model in the stores; `usage` if it is none that a node can run;
 * `corrupt` if it is not what it says; `unsupported` naming what the engine lacks
 */
export async function openSlice(
  directory: string,
  context: SliceContext & { readonly silenceMs?: number },
): Promise<OpenedSlice> {
  const { logger, onBytes, silenceMs = SILENCE_MS } = context;
  const tellSilence = (): void =>
    logger.warn(
      `nothing was read of ${directory} for ${silenceMs / 1000} s; does the server of its mount answer?`,
    );
  const description = await watched(silenceMs, tellSilence, () => readSliceDescription(directory));
  const { model, revision } = description;
  const settled = await settleRevision({ model, revision }, context);
  const { manifest } = settled;
  if (description.blockCount !== manifest.blockCount)
    throw notWhatItSays(directory, description, `it counts ${description.blockCount} blocks`);
  const blocks = nodeBlocks(directory, description);
  const config = await watched(silenceMs, tellSilence, async (alive) => {
    const read = await readConfig(directory, description, manifest);
    const onRead = (bytes: number): void => {
      alive();
      onBytes?.(bytes);
    };
    await checkParts(directory, description, manifest, blocks, { ...context, onBytes: onRead });
    return read;
  });
  return {
    ...(await nodeSlice(settled, { blocks, directory, config, bytesOnDisk: 0 })),
    checkSame: async () => {
      const now = await readSliceDescription(directory);
      if (now.revision === revision) return;
      throw new CalyxError(
        'changed',
        `${directory} became a slice of the revision ${now.revision} meanwhile`,
        {
          hint: `name the revision in the path: ${formatModelName(model)}@${revision}`,
        },
      );
    },
  };
}

/** Calls `tell` when `work` was silent for so long, once for each silence. */
async function watched<T>(
  silenceMs: number,
  tell: () => void,
  work: (alive: () => void) => Promise<T>,
): Promise<T> {
  const timer = setTimeout(tell, silenceMs);
  try {
    return await work(() => timer.refresh());
  } finally {
    clearTimeout(timer);
  }
}

/** The one range of blocks of a slice with the parts that belong to them. */
function nodeBlocks(directory: string, { parts, blockCount }: SliceDescription): BlockRange {
  const numbers = parts.filter((part) => typeof part === 'number');
  const blocks = { start: Math.min(...numbers), end: Math.max(...numbers) + 1 };
  const wrong = (what: string, hint: string): CalyxError =>
    new CalyxError('usage', `a node cannot run ${directory}: ${what}`, { hint });
  if (numbers.length === 0)
    throw wrong('it holds no blocks', 'choose one with blocks, such as 0-4+embed or 4-8');
  const [gap] = missingBlocks(
    [{ start: 0, end: blocks.start }, ...numbers.map((start) => ({ start, end: start + 1 }))],
    blocks.end,
  );
  if (gap !== undefined)
    throw wrong(`its blocks have a gap at ${formatBlockRange(gap)}`, 'choose a slice of one range of blocks');
  const lacking = nodeParts(blocks, blockCount).find((part) => !parts.includes(part));
  if (lacking === undefined) return blocks;
  const name = formatSliceSpec({ blocks, embed: blocks.start === 0, head: blocks.end === blockCount });
  throw wrong(
    `with the blocks ${formatBlockRange(blocks)} belongs the part '${lacking}', which it lacks`,
    `choose the slice ${name} beside it`,
  );
}

async function readConfig(
  directory: string,
  description: SliceDescription,
  manifest: Manifest,
): Promise<DecoderConfig> {
  const path = join(directory, CONFIG_FILE);
  const bytes = await readFile(path).catch((error: unknown) => {
    throw fileError(error, 'cannot read', path);
  });
  if (manifest.file(CONFIG_FILE)?.blob !== sha256(bytes))
    throw notWhatItSays(directory, description, `${CONFIG_FILE} differs`);
  return parseDecoderConfig(bytes.toString('utf8'), path);
}

/** Compares every chunk of the node's parts with the manifest. */
async function checkParts(
  directory: string,
  description: SliceDescription,
  manifest: Manifest,
  blocks: BlockRange,
  { signal, onTotal, onBytes }: SliceContext,
): Promise<void> {
  const jobs = nodeParts(blocks, manifest.blockCount).map((part) =>
    partCheck(manifest, part, join(directory, partFile(part, 'safetensors'))),
  );
  for (const { path, size } of jobs) {
    const now = await sizeOf(path);
    if (now === size) continue;
    const what = now === undefined ? 'is missing' : `has ${now} bytes instead of ${size}`;
    throw notWhatItSays(directory, description, `${path} ${what}`);
  }
  onTotal?.(jobs.reduce((sum, { size }) => sum + size, 0));
  const pool = new HashPool({ signal });
  try {
    await Promise.all(
      jobs.map(async (job) => {
        const [bad] = await pool.check(job, (bytes) => onBytes?.(bytes));
        if (bad === undefined) return;
        throw notWhatItSays(
          directory,
          description,
          `${job.path} is damaged, or cannot be read, at byte ${bad.offset}`,
        );
      }),
    );
  } finally {
    await pool.close();
  }
}

function notWhatItSays(directory: string, { model, revision }: SliceDescription, why: string): CalyxError {
  return new CalyxError(
    'corrupt',
    `${directory} is not the slice of ${formatModelName(model)}@${revision} that it says it is: ${why}`,
    { hint: "run 'calyx verify' on the store that serves it, or 'calyx fetch' again if it is on a disk" },
  );
}
