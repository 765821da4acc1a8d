import { stat } from 'node:fs/promises';
import { CalyxError } from '../../core/errors.js';
import { DEFAULT_REF, formatModelName, parseModelName, type ModelName } from '../../core/names.js';
import { findSnapshot, isDirectory, type CacheSnapshot } from '../../catalog/ingest/cache-snapshot.js';
import {
  formatS3Location,
  isS3Location,
  parseS3Location,
  type S3Location,
} from '../../storage/remote/s3-location.js';
import { hubEndpoint } from './hub-access.js';

/** Where a model comes from. */
export type AddSource =
  | { readonly kind: 'directory'; readonly directory: string; readonly snapshot?: CacheSnapshot }
  | { readonly kind: 's3'; readonly location: S3Location }
  | { readonly kind: 'hub'; readonly endpoint: URL; readonly repo: ModelName; readonly revision: string };

/** Branches and tags of the Hub may have slashes (`refs/pr/1`). */
const HUB_REVISION = /^(?!.*\.\.)[A-Za-z0-9._][A-Za-z0-9._/+-]{0,199}$/;

/**
 * What the text after `calyx add` means: a directory if there is one, else `ORG/NAME[@REV]` on the Hub (or `HF_ENDPOINT`), or the
 * address of a model on a mirror of the Hub or on a store, or a prefix in object storage.
 *
 * @param onNotice told if a directory hides a model of the Hub
 * @throws CalyxError `usage`, `not-found`
 */
export async function parseAddSource(
  text: string,
  onNotice: (text: string) => void = () => undefined,
  env: NodeJS.ProcessEnv = process.env,
): Promise<AddSource> {
  if (/^https?:\/\//i.test(text)) return parseAddress(text);
  if (isS3Location(text)) return { kind: 's3', location: parseS3Location(text) };
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text))
    throw new CalyxError('usage', `'${text.slice(0, 200)}': models are not taken from there`, {
      hint: 'give a directory, ORG/NAME[@REV] of the Hub, https://HOST/ORG/NAME[@REV], or s3://BUCKET/PREFIX',
    });
  const onHub = asHubName(text, env);
  if (await isDirectory(text)) {
    if (onHub !== undefined)
      onNotice(
        `${text} is a directory here, and taken; the one on the Hub is ${onHub.endpoint.origin}/${text}`,
      );
    const snapshot = await findSnapshot(text);
    return {
      kind: 'directory',
      directory: snapshot?.directory ?? text,
      ...(snapshot !== undefined && { snapshot }),
    };
  }
  // A file is a path too; what is wrong with it is told by whoever reads it.
  if (onHub !== undefined && (await stat(text).catch(() => undefined)) === undefined) return onHub;
  return { kind: 'directory', directory: text };
}

/** The name under which a model is published if none is given; undefined if the source has none. */
export function nameOfSource(source: AddSource): ModelName | undefined {
  if (source.kind === 's3') return undefined;
  return source.kind === 'hub' ? source.repo : source.snapshot?.model;
}

function asHubName(text: string, env: NodeJS.ProcessEnv): (AddSource & { kind: 'hub' }) | undefined {
  const [name = '', ...rest] = text.split('@');
  const revision = rest.length === 0 ? DEFAULT_REF : rest.join('@');
  if (/^[./~]/.test(name) || name.split('/').length !== 2) return undefined;
  try {
    return {
      kind: 'hub',
      endpoint: hubEndpoint(env),
      repo: parseModelName(name),
      revision: checkRevision(revision),
    };
  } catch (error) {
    if (rest.length > 0) throw error;
    return undefined;
  }
}

/** Reads `https://HOST[/PREFIX]/ORG/NAME[@REV]`, and what a browser shows: `.../ORG/NAME/tree/REV`. */
function parseAddress(text: string): AddSource {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const hint = 'write https://HOST/ORG/NAME or https://HOST/ORG/NAME@REV';
  if (url === undefined || url.username !== '' || url.password !== '')
    throw new CalyxError('usage', 'this is not the address of a model, or it holds a password', { hint });
  let path = decodeURIComponent(url.pathname).replace(/\/+$/, '');
  let revision = DEFAULT_REF;
  const tree = /^(.*)\/tree\/(.+)$/.exec(path);
  const pinned = /^([^@]*)@(.+)$/.exec(path);
  const match = tree ?? pinned;
  if (match !== null) [, path = '', revision = ''] = match;
  const segments = path.split('/').filter((segment) => segment !== '');
  const [org, name] = segments.splice(-2);
  if (org === undefined || name === undefined)
    throw new CalyxError('usage', `${url.origin}${url.pathname} does not name a model`, { hint });
  const endpoint = new URL(segments.join('/'), url.origin);
  return { kind: 'hub', endpoint, repo: parseModelName(`${org}/${name}`), revision: checkRevision(revision) };
}

function checkRevision(text: string): string {
  if (HUB_REVISION.test(text)) return text;
  throw new CalyxError('usage', `'${text.slice(0, 200)}' is not a revision`, {
    hint: 'give a branch, a tag or a commit',
  });
}

/** How messages call a source. */
export function describeSource(source: AddSource): string {
  if (source.kind === 'directory') return source.directory;
  if (source.kind === 's3') return formatS3Location(source.location);
  return `${source.endpoint.origin}/${formatModelName(source.repo)}@${source.revision}`;
}
