import {
  CalyxError,
  isCalyxError,
  systemCode,
  type CalyxErrorOptions,
  type ErrorCode,
} from '../../core/errors.js';
import { retryAfter } from './hub-errors.js';

/** What was asked of object storage, for its errors. */
export interface S3Question {
  readonly bucket: string;
  /** The whole key, if it was about one object. */
  readonly key?: string;
  /** The host that is asked, for messages. */
  readonly endpoint: string;
  /** Whether credentials were found. */
  readonly anonymous: boolean;
  readonly action: 's3:ListBucket' | 's3:GetObject' | 's3:PutObject';
}

/** What of an error of the SDK counts. */
interface Answer {
  readonly name: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly message: string;
}

/** An asker who sends no credentials is refused for that; one who does, for what these may. */
const whoAsks = ({ anonymous, action }: S3Question): string =>
  anonymous
    ? 'no credentials were found, so nothing was signed: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE'
    : `the policy of these credentials has to allow ${action}; without s3:ListBucket, what does not exist is refused too`;

const RENEW =
  'set new ones (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, or log in again), and run this again: it goes on where it stopped';

type Explained = readonly [code: ErrorCode, message: string, hint?: string];

/** What an answer stands for. Codes: "Error responses" of the API reference of Amazon S3. */
function explain({ name, status, headers, message }: Answer, asked: S3Question): Explained {
  const { bucket, key, endpoint } = asked;
  const object = key === undefined ? `s3://${bucket}` : `s3://${bucket}/${key}`;
  const region = headers['x-amz-bucket-region'];
  switch (name) {
    case 'NoSuchBucket':
      return [
        'not-found',
        `${endpoint} has no bucket '${bucket}'`,
        'check its name, the endpoint (CALYX_S3_ENDPOINT) and the region (AWS_REGION)',
      ];
    case 'NoSuchKey':
    case 'NoSuchVersion':
      return ['not-found', `there is no ${object}`, 'check the name; keys are case-sensitive'];
    case 'InvalidAccessKeyId':
    case 'InvalidToken':
      return [
        'unauthenticated',
        `${endpoint} does not know these credentials`,
        'check AWS_ACCESS_KEY_ID or AWS_PROFILE, and that they are for this endpoint',
      ];
    case 'SignatureDoesNotMatch':
      return [
        'unauthenticated',
        `${endpoint} finds the signature wrong`,
        'check AWS_SECRET_ACCESS_KEY, and that no proxy changes requests',
      ];
    case 'ExpiredToken':
    case 'ExpiredTokenException':
    case 'TokenRefreshRequired':
      return ['unauthenticated', `the credentials for ${endpoint} have expired`, RENEW];
    case 'RequestTimeTooSkewed':
      return [
        'refused',
        `the clocks of this machine and of ${endpoint} are too far apart`,
        'set the clock of this machine (NTP); it may be wrong by 15 minutes at most',
      ];
    case 'RequestExpired':
      return ['unavailable', `${endpoint} got a request too late`];
    case 'PermanentRedirect':
    case 'TemporaryRedirect':
    case 'AuthorizationHeaderMalformed':
    case 'IllegalLocationConstraintException':
      return [
        'refused',
        `the bucket '${bucket}' is not in the region that was asked`,
        `set AWS_REGION${region === undefined ? " to the bucket's region" : `=${region}`}`,
      ];
    case 'PreconditionFailed':
    case 'InvalidRange':
      return [
        'changed',
        `${object} has changed at its source`,
        'run this again, which lists the bucket anew',
      ];
    case 'InvalidObjectState':
      return [
        'refused',
        `${object} is archived`,
        'restore it first (aws s3api restore-object), or change its storage class',
      ];
    case 'SlowDown':
    case 'Throttling':
    case 'ThrottlingException':
    case 'RequestLimitExceeded':
    case 'TooManyRequests':
      return [
        'limited',
        `${endpoint} asks for patience: too many requests`,
        'run this again later: it goes on where it stopped',
      ];
  }
  if (status === 401 || status === 403)
    return ['refused', `${endpoint} refuses ${asked.action} for ${object}`, whoAsks(asked)];
  if (status === 404)
    return ['not-found', `there is no ${object}`, 'check the name of the bucket and the key'];
  if (status === 412 || status === 416)
    return ['changed', `${object} has changed at its source`, 'run this again'];
  if (status === 429) return ['limited', `${endpoint} asks for patience: too many requests`];
  // 503 without a code is what balancers before the storage say: with a time to wait it is a limit too.
  if (status === 503 && headers['retry-after'] !== undefined)
    return ['limited', `${endpoint} asks for patience`];
  if (status >= 500 || status === 408 || name === 'RequestTimeout' || name === 'InternalError')
    return ['unavailable', `${endpoint} answered ${status} (${safe(name)})`];
  if (status >= 300 && status < 400)
    return [
      'refused',
      `${endpoint} leads elsewhere for the bucket '${bucket}'`,
      'check the endpoint and the region (AWS_REGION)',
    ];
  return [
    'refused',
    `${endpoint} answered ${status} (${safe(name)}) for ${object}: ${safe(message)}`,
    'check the endpoint and CALYX_S3_STYLE (path or virtual)',
  ];
}

/** The error for whatever the SDK threw. Neither the message nor the cause holds what was signed or sent. */
export function s3Error(error: unknown, asked: S3Question): CalyxError {
  if (isCalyxError(error)) return error;
  const answer = answerOf(error);
  if (answer === undefined) return connectionError(error, asked);
  const [code, message, hint] = explain(answer, asked);
  const seconds = retryAfter(answer.headers['retry-after'] ?? '');
  const request = answer.headers['x-amz-request-id'];
  const cause = new Error(
    `${safe(answer.name)}, status ${answer.status}${request === undefined ? '' : `, request ${safe(request)}`}`,
  );
  const options: CalyxErrorOptions = {
    cause,
    ...(hint !== undefined && { hint }),
    ...(seconds !== undefined &&
      (code === 'limited' || code === 'unavailable') && { retryAfterSeconds: seconds }),
  };
  return new CalyxError(code, message, options);
}

/** Undefined if nobody answered. */
function answerOf(error: unknown): Answer | undefined {
  if (!(error instanceof Error)) return undefined;
  const { name, message } = error;
  const { $metadata, $response } = error as {
    $metadata?: { httpStatusCode?: number };
    $response?: { statusCode?: number; headers?: Record<string, string> };
  };
  const status = $response?.statusCode ?? $metadata?.httpStatusCode;
  if (status === undefined) return undefined;
  return { name, status, headers: $response?.headers ?? {}, message };
}

function connectionError(error: unknown, { endpoint, bucket }: S3Question): CalyxError {
  const code = systemCode(error) ?? '';
  const name = error instanceof Error ? error.name : '';
  const cause = new Error(code || safe(name));
  if (name === 'CredentialsProviderError' || name === 'TokenProviderError')
    return new CalyxError('unauthenticated', `credentials for ${endpoint} cannot be had`, {
      hint: 'check AWS_PROFILE and its files, or log in again (aws sso login)',
      cause,
    });
  if (/CERT|ERR_TLS|SIGNATURE|ERR_SSL|SELF_SIGNED/.test(code))
    return new CalyxError('refused', `the server at ${endpoint} is not trusted (${code}); nothing was sent`, {
      hint: 'if it has a certificate of your own authority, name that in NODE_EXTRA_CA_CERTS',
      cause,
    });
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new CalyxError('unavailable', `the name of ${endpoint} is not known (${code})`, {
      hint: `check the endpoint; if ${bucket}.HOST is no name there, set CALYX_S3_STYLE=path`,
      cause,
    });
  if (code === 'EPROTO')
    return new CalyxError('refused', `the server at ${endpoint} does not speak TLS`, {
      hint: 'check the endpoint: http: or https:?',
      cause,
    });
  // The SDK calls connections that were reset by that name too.
  if (code === 'ETIMEDOUT' || (name === 'TimeoutError' && code === ''))
    return new CalyxError('timeout', `${endpoint} does not answer`, { cause });
  return new CalyxError(
    'unavailable',
    `${endpoint} cannot be reached (${code || safe(name) || 'no reason'})`,
    {
      hint: 'check the endpoint (CALYX_S3_ENDPOINT) and the network',
      cause,
    },
  );
}

/** What a server says, for a message: short, and only what can be printed. */
function safe(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, ' ').slice(0, 120);
}
