import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { CalyxError, fileError } from '../core/errors.js';
import { isRevisionId, parseModelName, type ModelName } from '../core/names.js';
import { partOfFile, type PartId, type WeightFormat } from '../weights/parts.js';
import { SLICE_FILE } from './slice.js';

/** What a directory says of itself: of what it is a slice, and which parts it has. */
export interface SliceDescription {
  readonly model: ModelName;
  readonly revision: string;
  /** Blocks of the whole model. */
  readonly blockCount: number;
  readonly parts: readonly PartId[];
  /** The form of the parts. */
  readonly format: WeightFormat;
}

/** About 60 bytes a part, and no model has more than some hundreds. */
const MAX_BYTES = 1024 * 1024;

const schema = z.object({
  format: z.literal('calyx-slice-1'),
  model: z.string(),
  revision: z.string().refine(isRevisionId),
  blockCount: z.int().min(1).max(100_000),
  parts: z.array(z.object({ file: z.string(), size: z.int().nonnegative() })),
});

/**
 * Reads the `slice.json` of a directory. It only says what the directory claims to be.
 *
 * @throws CalyxError `not-found` if the directory is missing or no slice, `invalid-model` if its description makes no sense,
 * `unreadable`
 */
export async function readSliceDescription(directory: string): Promise<SliceDescription> {
  const path = join(directory, SLICE_FILE);
  const text = await readBounded(path).catch((error: unknown) => {
    const failure = fileError(error, 'cannot read', path);
    if (failure.code !== 'not-found') throw failure;
    throw new CalyxError('not-found', `${directory} is no slice: there is no ${SLICE_FILE} in it`, {
      hint: 'name the directory of a slice, such as /mnt/calyx/slices/ORG/NAME@REVISION/0-4+embed; is it mounted?',
      cause: error,
    });
  });
  const wrong = (what: string): CalyxError =>
    new CalyxError('invalid-model', `${path} ${what}`, {
      hint: 'choose a slice that a store serves, or that calyx fetch wrote',
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw wrong('is not JSON');
  }
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw wrong('does not describe a slice');
  const { model, revision, blockCount, parts } = parsed.data;
  const format = parts[0]?.file.endsWith('.gguf') === true ? 'gguf' : 'safetensors';
  const known = parts.flatMap(({ file }) => partOfFile(file, format) ?? []);
  if (known.length < parts.length) throw wrong('names parts that no slice has');
  return { model: parseModelName(model), revision, blockCount, parts: known, format };
}

async function readBounded(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    if (size > MAX_BYTES) throw new CalyxError('invalid-model', `${path} has ${size} bytes, too many`);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}
