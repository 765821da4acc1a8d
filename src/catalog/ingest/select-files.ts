import { isDigest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import { parseFilePath } from '../../core/names.js';
import type { RemoteFile, RemoteModel } from '../../storage/remote/remote-model.js';
import { fileFilter, type FilePatterns } from './path-pattern.js';

/** More files than any model has. */
const MAX_FILES = 100_000;
/** A petabyte: more than any disk has, and far from where numbers become inexact. */
const MAX_BYTES = 2 ** 50;

/**
 * Which files of a listing are taken, ascending by path. Whoever wrote the listing is a stranger: paths are checked, sizes bounded, and
 * no file may be where another one needs a directory. Names that begin with '.' are passed over, as in a local directory.
 *
 * @throws CalyxError `invalid-model` for a listing that is not one of a model, `usage` if the patterns leave nothing
 */
export function selectFiles(
  remote: Pick<RemoteModel, 'name' | 'files'>,
  patterns: FilePatterns = {},
): RemoteFile[] {
  const refuse = (problem: string): CalyxError =>
    new CalyxError('invalid-model', `${remote.name} lists ${problem}; nothing was taken`, {
      hint: 'do not trust this source, or tell whoever runs it',
    });
  if (remote.files.length > MAX_FILES) throw refuse(`more than ${MAX_FILES} files`);
  const taken = new Set<string>();
  const directories = new Set<string>();
  let total = 0;
  const wanted = fileFilter(patterns);
  const selected: RemoteFile[] = [];
  for (const file of remote.files) {
    const { path, size } = file;
    try {
      parseFilePath(path);
    } catch {
      throw refuse(`a file at ${JSON.stringify(path.slice(0, 200))}`);
    }
    if (!Number.isSafeInteger(size) || size < 0) throw refuse(`${path} with ${size} bytes`);
    if (file.sha256 !== undefined && !isDigest(file.sha256)) throw refuse(`${path} with a wrong SHA-256`);
    if (taken.has(path)) throw refuse(`${path} twice`);
    taken.add(path);
    const segments = path.split('/');
    for (let end = 1; end < segments.length; end += 1) directories.add(segments.slice(0, end).join('/'));
    if (segments.some((segment) => segment.startsWith('.')) || !wanted(path)) continue;
    total += size;
    if (total > MAX_BYTES) throw refuse(`more than ${MAX_BYTES} bytes`);
    selected.push(file);
  }
  for (const path of taken) if (directories.has(path)) throw refuse(`${path} as a file and as a directory`);
  if (selected.length === 0)
    throw new CalyxError(
      taken.size === 0 ? 'not-found' : 'usage',
      `${remote.name} has no ${taken.size === 0 ? 'files' : 'files that these patterns take'}`,
      { hint: taken.size === 0 ? 'check the name' : 'see what it has: calyx add ... --dry-run' },
    );
  return selected.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** True for a file that holds weights, in any form that is known; the others are small. */
export function isWeights(path: string): boolean {
  return /\.(?:safetensors|gguf|bin|pt|pth|h5|msgpack|ot|onnx|onnx_data|npz|tflite|data)$/.test(path);
}

/** Files that hold the same weights again for other programs, where safetensors are there: nothing of them is read by Calyx. */
export function otherFormats(files: readonly RemoteFile[]): RemoteFile[] {
  if (!files.some(({ path }) => path.endsWith('.safetensors'))) return [];
  return files.filter(({ path }) => isWeights(path) && !path.endsWith('.safetensors'));
}
