import { CalyxError } from '../../core/errors.js';

/** A bucket, or what lies under a prefix of it. */
export interface S3Location {
  readonly bucket: string;
  /** Without `/` at its ends; empty for the whole bucket. */
  readonly prefix: string;
}

/** How object storage is reached. Credentials are not in it: they are found as every AWS tool finds them. */
export interface S3Settings {
  /** Undefined for AWS itself. */
  readonly endpoint?: URL;
  /** Where the bucket stands: in the path, or in the host name. */
  readonly style: 'path' | 'virtual';
}

/** Of AWS and of those before 2018, which others still allow. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/;
/** A key has at most 1,024 bytes. */
const MAX_PREFIX_BYTES = 900;

/** True for what {@link parseS3Location} is for. */
export function isS3Location(text: string): boolean {
  return /^s3:\/\//i.test(text);
}

/** Reads `s3://BUCKET[/PREFIX]`, with the prefix as it is (nothing in it is escaped); throws CalyxError `usage`. */
export function parseS3Location(text: string): S3Location {
  const [, bucket = '', rest = ''] = /^s3:\/\/([^/]*)(?:\/(.*))?$/is.exec(text) ?? [];
  const prefix = rest.replace(/^\/+|\/+$/g, '');
  const shown = text.slice(0, 200);
  if (!BUCKET.test(bucket) || bucket.includes('..'))
    throw new CalyxError('usage', `'${shown}' does not name a bucket`, {
      hint: 'write it as s3://BUCKET/PREFIX',
    });
  // eslint-disable-next-line no-control-regex
  if (Buffer.byteLength(prefix) > MAX_PREFIX_BYTES || /[\0-\x1f\x7f]/.test(prefix))
    throw new CalyxError('usage', `the prefix of '${shown}' is no prefix of keys`, {
      hint: `it has at most ${MAX_PREFIX_BYTES} bytes and no control characters`,
    });
  return { bucket, prefix };
}

/** As {@link parseS3Location} reads it. */
export function formatS3Location({ bucket, prefix }: S3Location): string {
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}`;
}

/**
 * What the environment says: `CALYX_S3_ENDPOINT`, else `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL`; and `CALYX_S3_STYLE`, by default
 * `virtual` at AWS and `path` at other endpoints, whose host names rarely have one for each bucket. Throws CalyxError `usage`.
 */
export function s3Settings(env: NodeJS.ProcessEnv = process.env): S3Settings {
  const names = ['CALYX_S3_ENDPOINT', 'AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'];
  const name = names.find((one) => (env[one] ?? '') !== '');
  const endpoint = name === undefined ? undefined : parseEndpoint(name, env[name] ?? '');
  const style = env['CALYX_S3_STYLE'] || (endpoint === undefined ? 'virtual' : 'path');
  if (style !== 'path' && style !== 'virtual')
    throw new CalyxError('usage', `CALYX_S3_STYLE is '${style.slice(0, 200)}'`, {
      hint: 'it is path (https://HOST/BUCKET/KEY) or virtual (https://BUCKET.HOST/KEY)',
    });
  return { ...(endpoint !== undefined && { endpoint }), style };
}

function parseEndpoint(name: string, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const bare = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  if (url !== undefined && bare && /^https?:$/.test(url.protocol)) return url;
  // Not the text itself: there may be a password in it.
  throw new CalyxError('usage', `${name} is no address of object storage`, {
    hint: 'write it as https://HOST[:PORT]; credentials do not belong into it',
  });
}
