import { Transform, pipeline, type Readable } from 'node:stream';
import type * as Sdk from '@aws-sdk/client-s3';
import { CalyxError } from '../../core/errors.js';
import { s3Error } from './s3-errors.js';
import type { S3Settings } from './s3-location.js';

/** The region of requests to servers that have none. */
const FALLBACK_REGION = 'us-east-1';
/** A page of a listing has 1,000 keys, at most 1,024 bytes each, which XML may make six times as long. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;

/** A client of the SDK, and what it found. */
export interface S3Connection {
  readonly sdk: typeof Sdk;
  readonly client: Sdk.S3Client;
  /** For messages. */
  readonly endpoint: string;
  /** True if no credentials were found: requests are not signed. */
  readonly anonymous: boolean;
}

/**
 * Finds credentials and a region as the AWS tools do: environment, profile, web identity, container, instance. Where nobody named
 * credentials and none are found, requests are not signed, which public buckets allow.
 *
 * @throws CalyxError `unauthenticated` if credentials were named and cannot be had
 */
export async function connectS3(
  { endpoint, style }: S3Settings,
  bucket: string,
  stallMs: number,
  env: NodeJS.ProcessEnv = process.env,
): Promise<S3Connection> {
  // Versions to come will need a newer Node; that is not for who runs a command to hear.
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';
  // Loaded when it is needed: most commands do not.
  const sdk = await import('@aws-sdk/client-s3');
  const named = env['AWS_REGION'] || env['AWS_DEFAULT_REGION'];
  const common: Sdk.S3ClientConfig & { ignoreCache: boolean } = {
    // Handed on to the providers of credentials: files are read anew by each client, not once in the life of the process.
    ignoreCache: true,
    ...(endpoint !== undefined && { endpoint: endpoint.href }),
    forcePathStyle: style === 'path',
    followRegionRedirects: endpoint === undefined,
    // Whoever calls knows how patient it may be.
    maxAttempts: 1,
    requestHandler: { connectionTimeout: stallMs },
    // Other servers than that of AWS may not know the newer ones.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  };
  const looking = new sdk.S3Client({ ...common, ...(named !== undefined && { region: named }) });
  const host = endpoint?.host ?? 's3.amazonaws.com';
  try {
    const region = await looking.config.region().catch(() => FALLBACK_REGION);
    const anonymous = !(await findsCredentials(looking, bucket, host, env));
    const client = new sdk.S3Client({
      ...common,
      region,
      ...(anonymous
        ? {
            signer: { sign: (request) => Promise.resolve(request) },
            credentials: { accessKeyId: '', secretAccessKey: '' },
          }
        : { credentials: looking.config.credentials }),
    });
    boundAnswers(client);
    return { sdk, client, endpoint: host, anonymous };
  } finally {
    looking.destroy();
  }
}

async function findsCredentials(
  client: Sdk.S3Client,
  bucket: string,
  endpoint: string,
  env: NodeJS.ProcessEnv,
): Promise<boolean> {
  try {
    await client.config.credentials();
    return true;
  } catch (error) {
    const named = ['AWS_PROFILE', 'AWS_ACCESS_KEY_ID', 'AWS_WEB_IDENTITY_TOKEN_FILE'].some(
      (name) => env[name],
    );
    if (!named) return false;
    throw s3Error(error, { bucket, endpoint, anonymous: false, action: 's3:ListBucket' });
  }
}

/** The SDK gathers listings and errors whole, so they end at a bound; objects are read by whoever asked for them. */
function boundAnswers(client: Sdk.S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args);
      const response = result.response as { statusCode: number; body?: Readable } | undefined;
      const isObject = context.commandName === 'GetObjectCommand' && (response?.statusCode ?? 0) < 300;
      if (response?.body !== undefined && !isObject) response.body = bounded(response.body);
      return result;
    },
    { step: 'deserialize', priority: 'low', name: 'boundAnswers' },
  );
}

function bounded(body: Readable): Readable {
  let bytes = 0;
  const gate = new Transform({
    transform(piece: Uint8Array, _encoding, done): void {
      bytes += piece.byteLength;
      if (bytes <= MAX_ANSWER_BYTES) done(null, piece);
      else done(new CalyxError('unsupported', 'an answer of object storage has no end'));
    },
  });
  pipeline(body, gate, () => undefined);
  return gate;
}
