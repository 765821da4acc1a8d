import { CalyxError } from './errors.js';

/** `ORG/NAME` as on the Hugging Face Hub. */
export interface ModelName {
  readonly org: string;
  readonly name: string;
}

// What huggingface_hub accepts: letters, digits, '-', '_', '.', no '--' or '..', neither '-' nor '.' at the ends.
const NAME_PART = /^(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?$/;

/**
 * Reads `ORG/NAME`.
 *
 * @throws CalyxError `usage` unless both parts are names that the Hub's own clients accept; so no name can leave its
 * directory, and `models--ORG--NAME` can be read back
 */
export function parseModelName(text: string): ModelName {
  const [org, name, ...rest] = text.split('/');
  if (
    org !== undefined &&
    name !== undefined &&
    rest.length === 0 &&
    NAME_PART.test(org) &&
    NAME_PART.test(name)
  ) {
    return { org, name };
  }
  throw new CalyxError('usage', `'${text.slice(0, 200)}' is not a model name`, {
    hint:
      "write it as ORG/NAME; each part has letters, digits, '-', '_' and '.', at most 96, without '--' or '..', " +
      "and does not begin or end with '-' or '.'",
  });
}

/** Writes `ORG/NAME`. */
export function formatModelName(model: ModelName): string {
  return `${model.org}/${model.name}`;
}

/** The model's directory name in the Hugging Face cache layout: `models--ORG--NAME`. */
export function cacheFolder(model: ModelName): string {
  return `models--${model.org}--${model.name}`;
}

/** The model of a directory `models--ORG--NAME`, or undefined. */
export function modelOfCacheFolder(folder: string): ModelName | undefined {
  const match = /^models--(.+?)--(.+)$/.exec(folder);
  const org = match?.[1];
  const name = match?.[2];
  if (org === undefined || name === undefined || !NAME_PART.test(org) || !NAME_PART.test(name))
    return undefined;
  return { org, name };
}

/** A model and, if given, one of its revisions or refs: `ORG/NAME[@REVISION]`. */
export interface ModelSpec {
  readonly model: ModelName;
  /** A revision id or a ref; `main` if none was given. */
  readonly revision: string;
}

/** Reads `ORG/NAME[@REVISION]`; throws CalyxError `usage`. */
export function parseModelSpec(text: string): ModelSpec {
  const at = text.indexOf('@');
  if (at < 0) return { model: parseModelName(text), revision: DEFAULT_REF };
  return { model: parseModelName(text.slice(0, at)), revision: parseRevision(text.slice(at + 1)) };
}

/** The ref that is meant if none is named. */
export const DEFAULT_REF = 'main';

/** Checks the form of a revision id or a ref; throws CalyxError `usage`. */
export function parseRevision(text: string): string {
  if (NAME_PART.test(text)) return text;
  throw new CalyxError('usage', `'${text.slice(0, 200)}' is not a revision or a ref`, {
    hint: "give a revision id (40 hex digits) or a ref such as 'main'",
  });
}

/** True if `text` is a revision id: 40 hex digits. */
export function isRevisionId(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** A file path inside a model is at most this long, in UTF-8 bytes; Linux allows 255 for each of its segments. */
const MAX_PATH_BYTES = 1024;
const MAX_SEGMENT_BYTES = 255;

/**
 * Checks a relative file path from a stranger: slashes between plain names, none of them empty, `.` or `..`, no
 * backslash, no control characters.
 *
 * @returns the path
 * @throws CalyxError `usage`
 */
export function parseFilePath(path: string): string {
  const segments = path.split('/');
  const good =
    Buffer.byteLength(path) <= MAX_PATH_BYTES &&
    // eslint-disable-next-line no-control-regex -- control characters are what this looks for
    !/[\u0000-\u001f\u007f\\]/.test(path) &&
    path.isWellFormed() &&
    segments.every((s) => s !== '' && s !== '.' && s !== '..' && Buffer.byteLength(s) <= MAX_SEGMENT_BYTES);
  if (good) return path;
  throw new CalyxError('usage', `${JSON.stringify(path.slice(0, 200))} is not a path inside a model`, {
    hint: "use relative paths of plain names, without '..', backslashes or control characters",
  });
}
