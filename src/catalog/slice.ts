import { formatModelName, type ModelName } from '../core/names.js';
import { MAX_ALIGNMENT } from '../weights/gguf/gguf-metadata.js';
import { layOutGgufPart } from '../weights/gguf/gguf-part.js';
import { layOutPart, partFile, type PartId } from '../weights/parts.js';
import { INDEX_FILE } from '../weights/model-directory.js';
import {
  literalFile,
  segmentLength,
  treeFile,
  type BlobSegment,
  type Segment,
  type TreeFile,
} from './file-tree.js';
import type { Manifest, ManifestFile, ManifestTensor } from './manifest.js';
import { checkParts, sortParts } from './slice-spec.js';

/** The file in a slice that says what it is. */
export const SLICE_FILE = 'slice.json';

/** A revision of a model and what it consists of. */
export interface Revision {
  readonly model: ModelName;
  readonly revision: string;
  readonly manifest: Manifest;
}

/** Files that a loader wants beside the weights: configuration, tokenizer, chat template, code that belongs to the model. */
const SUPPORT_FILES = [
  /^(?:generation_|preprocessor_|processor_|quant_|quantize_)?config\.json$/,
  /^tokenizer(?:_config)?\.(?:json|model)$/,
  /^(?:special_tokens_map|added_tokens|vocab|chat_template|tekken)\.json$/,
  /^(?:merges\.txt|vocab\.txt|spiece\.model|sentencepiece\.bpe\.model|chat_template\.jinja)$/,
  /^[\w.-]+\.(?:tiktoken|py)$/,
];

/** The tokenizers of the largest vocabularies have about 35 MB. */
const MAX_SUPPORT_BYTES = 64 * 1024 * 1024;

/** The files of a revision that every slice of it shows as they are. */
export function supportFiles(manifest: Manifest): ManifestFile[] {
  return manifest.files.filter(
    (file) =>
      file.size <= MAX_SUPPORT_BYTES &&
      file.tensors.length === 0 &&
      SUPPORT_FILES.some((form) => form.test(file.path)),
  );
}

/**
 * The files of the slice that holds `parts` of a revision: support files, parts, an index that lists what is there (of
 * safetensors; GGUF has none), and `slice.json`. A pure function; a part's bytes depend on the part alone.
 *
 * @returns files by name, in the order in which a directory shows them
 * @throws CalyxError `usage` if the model has no such block
 */
export function sliceFiles(
  { model, revision, manifest }: Revision,
  parts: Iterable<PartId>,
): Map<string, TreeFile> {
  const sorted = sortParts(parts);
  checkParts(sorted, manifest.blockCount);
  const files = new Map<string, TreeFile>();
  for (const file of supportFiles(manifest)) files.set(file.path, wholeFile(file));
  const weightMap: Record<string, string> = {};
  let totalBytes = 0;
  const described: { file: string; size: number }[] = [];
  for (const part of sorted) {
    const name = partFile(part, manifest.format);
    const { content, tensors } = layOutFile(manifest, part);
    files.set(name, content);
    described.push({ file: name, size: content.size });
    for (const tensor of tensors) {
      // A tied head repeats the embedding table; the first part counts.
      if (Object.hasOwn(weightMap, tensor.name)) continue;
      weightMap[tensor.name] = name;
      totalBytes += tensor.length;
    }
  }
  if (manifest.format === 'safetensors')
    files.set(INDEX_FILE, literalFile(json({ metadata: { total_size: totalBytes }, weight_map: weightMap })));
  const about = {
    format: 'calyx-slice-1',
    model: formatModelName(model),
    revision,
    blockCount: manifest.blockCount,
    parts: described,
  };
  files.set(SLICE_FILE, literalFile(json(about)));
  return files;
}

/** A part as a file. */
export function partContent(manifest: Manifest, part: PartId): TreeFile {
  return layOutFile(manifest, part).content;
}

function layOutFile(
  manifest: Manifest,
  part: PartId,
): { content: TreeFile; tensors: readonly ManifestTensor[] } {
  const own = partTensors(manifest, part);
  if (manifest.gguf !== undefined)
    return { content: treeFile(ggufSegments(manifest.gguf, own, part === 'embed')), tensors: own };
  const { header, tensors } = layOutPart(own);
  const data = tensors.map(({ file, offset, length }) => ({ blob: file.blob, offset, length }));
  return { content: treeFile(joinSegments([{ literal: header }, ...data])), tensors };
}

/** One for all paddings, which may be many. */
const ZEROS = Buffer.alloc(MAX_ALIGNMENT);

/** A part of a GGUF model. Whatever further metadata it carries is read where it stands in the model's file. */
function ggufSegments(
  { blob, gguf }: NonNullable<Manifest['gguf']>,
  tensors: readonly ManifestTensor[],
  further: boolean,
): Segment[] {
  const { start, descriptions, padding } = layOutGgufPart(tensors, gguf, further);
  return joinSegments([
    { literal: start },
    ...(further ? gguf.further.map((extent) => ({ blob, ...extent })) : []),
    { literal: descriptions },
    ...tensors.flatMap(({ file, offset, length }, index) => [
      { blob: file.blob, offset, length },
      { literal: ZEROS.subarray(0, padding[index]) },
    ]),
  ]);
}

/** The tensors of one part, in the order of the manifest. */
export function partTensors(manifest: Manifest, part: PartId): ManifestTensor[] {
  const { embed, blocks, head } = manifest.map;
  const ordinals = part === 'embed' ? embed : part === 'head' ? head : (blocks[part] ?? []);
  return ordinals.map((ordinal) => manifest.tensor(ordinal));
}

/** A file of the revision as it is. */
export function wholeFile(file: ManifestFile): TreeFile {
  return treeFile(file.size === 0 ? [] : [{ blob: file.blob, offset: 0, length: file.size }]);
}

/** Extents that follow each other in their file become one segment. */
function joinSegments(pieces: readonly Segment[]): Segment[] {
  const segments: Segment[] = [];
  let last: BlobSegment | undefined;
  for (const piece of pieces) {
    if (segmentLength(piece) === 0) continue;
    if ('literal' in piece) {
      segments.push(piece);
      last = undefined;
    } else if (last?.blob === piece.blob && last.offset + last.length === piece.offset) {
      last = { ...last, length: last.length + piece.length };
      segments[segments.length - 1] = last;
    } else {
      segments.push(piece);
      last = piece;
    }
  }
  return segments;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
