import { lstat, readFile, readdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import { SLICE_FILE } from '../slice.js';

/** Our own files in a slice's directory, none of which a loader looks at. */
export const OWN = '.calyx';

/** What a write that was killed leaves behind, see `writeFileAtomically`. */
export const LEFTOVER = /^(.+)\.[0-9a-f]{12}\.tmp$/;

/** Of what a directory is a slice. */
export interface SliceIdentity {
  readonly model: string;
  readonly revision: string;
}

/** What `slice.json` says, as far as it matters here. */
const sliceSchema = z.object({ format: z.literal('calyx-slice-1'), model: z.string(), revision: z.string() });

/**
 * Looks whether a directory may become, or is, a slice of this revision: also one of another revision of the same model may.
 *
 * @param readBegun reads what our own record says of it, which stands there from the start
 * @returns of what it is a slice by now; undefined if of nothing
 * @throws CalyxError `exists` if it holds anything else, or lies in the data directory of a store; `refused` if our own directory
 * in it is a link
 */
export async function checkSliceContent(
  path: string,
  of: SliceIdentity,
  readBegun: () => Promise<SliceIdentity | undefined>,
): Promise<SliceIdentity | undefined> {
  const names = await readdir(path).catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return [] as string[];
    throw fileError(error, 'cannot use', path);
  });
  const own = names.length === 1 && names[0] === OWN ? await readdir(join(path, OWN)) : ['?'];
  // Records are read after the listing: one that another process writes meanwhile is then not taken for something foreign.
  const begun = await readBegun();
  const hint = 'choose an empty directory for --into';
  if (await isSymbolicLink(join(path, OWN))) {
    throw new CalyxError('refused', `${join(path, OWN)} is a symbolic link, which is not followed`, {
      hint,
    });
  }
  for (let above = path; above !== dirname(above); above = dirname(above)) {
    if (!(await exists(join(above, OWN, 'refs')))) continue;
    throw new CalyxError('exists', `${path} lies in ${above}, the data directory of a store`, {
      hint,
    });
  }
  const finished = sliceSchema.safeParse(await readJson(join(path, SLICE_FILE))).data;
  for (const other of [finished, begun]) {
    if (other === undefined || other.model === of.model) continue;
    throw new CalyxError('exists', `${path} holds a slice of ${other.model}, not of ${of.model}`, { hint });
  }
  if (names.length === 0 || finished !== undefined || begun !== undefined) return begun ?? finished;
  // Killed before it had written down what it is.
  if (own.every((name) => name === 'owners' || LEFTOVER.exec(name)?.[1] === 'verified.json'))
    return undefined;
  throw new CalyxError('exists', `${path} is not empty and holds no slice`, { hint });
}

async function isSymbolicLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (info) => info.isSymbolicLink(),
    () => false,
  );
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** Undefined if it is missing or cut off: what it said must be found out again. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch {
    return undefined;
  }
}
