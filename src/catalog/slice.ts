import { formatModelName, type ModelName } from '../core/names.js';
import { layOutPart, partFile, type PartId } from '../weights/parts.js';
import { INDEX_FILE } from '../weights/model-directory.js';
import { literalFile, treeFile, type BlobSegment, type TreeFile } from './file-tree.js';
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
 * The files of the slice that holds `parts` of a revision: support files, parts, an index that lists what is there, and
 * `slice.json`. A pure function; a part's bytes depend on the part alone.
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
    const name = partFile(part);
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
  const { header, tensors } = layOutPart(partTensors(manifest, part));
  return { content: treeFile([{ literal: header }, ...joinSegments(tensors)]), tensors };
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

/** Tensors that follow each other in their file become one segment. */
function joinSegments(tensors: readonly ManifestTensor[]): BlobSegment[] {
  const segments: BlobSegment[] = [];
  for (const { file, offset, length } of tensors) {
    if (length === 0) continue;
    const last = segments.at(-1);
    if (last !== undefined && last.blob === file.blob && last.offset + last.length === offset) {
      segments[segments.length - 1] = { ...last, length: last.length + length };
    } else {
      segments.push({ blob: file.blob, offset, length });
    }
  }
  return segments;
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
