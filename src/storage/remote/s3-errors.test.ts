import { describe, expect, it } from 'vitest';
import { s3Error, type S3Question } from './s3-errors.js';

const ASKED: S3Question = {
  bucket: 'garden',
  key: 'rose/x',
  endpoint: 'minio.lan',
  anonymous: false,
  action: 's3:GetObject',
};

/** An error as the SDK throws it: what the server sent is in its fields. */
function thrown(name: string, status: number, headers: Record<string, string> = {}, message = ''): Error {
  const error = Object.assign(new Error(message), {
    $metadata: { httpStatusCode: status },
    $response: { statusCode: status, headers },
    AWSAccessKeyId: 'AKIASECRET',
    StringToSign: 'AWS4-HMAC-SHA256 AKIASECRET',
  });
  error.name = name;
  return error;
}

const network = (code: string, name = 'Error'): Error =>
  Object.assign(new Error('AKIASECRET'), { code, name });

describe('errors of object storage', () => {
  // Names and statuses: "List of error codes" of the API reference of Amazon S3; those of HEAD have no body, so no name.
  it.each([
    ['NoSuchBucket', 404, 'not-found'],
    ['NoSuchKey', 404, 'not-found'],
    ['NotFound', 404, 'not-found'],
    ['AccessDenied', 403, 'refused'],
    ['403', 403, 'refused'],
    ['InvalidAccessKeyId', 403, 'unauthenticated'],
    ['SignatureDoesNotMatch', 403, 'unauthenticated'],
    ['ExpiredToken', 400, 'unauthenticated'],
    ['RequestTimeTooSkewed', 403, 'refused'],
    ['PermanentRedirect', 301, 'refused'],
    ['AuthorizationHeaderMalformed', 400, 'refused'],
    ['PreconditionFailed', 412, 'changed'],
    ['InvalidRange', 416, 'changed'],
    ['InvalidObjectState', 403, 'refused'],
    ['SlowDown', 503, 'limited'],
    ['TooManyRequests', 429, 'limited'],
    ['InternalError', 500, 'unavailable'],
    ['ServiceUnavailable', 503, 'unavailable'],
    ['MethodNotAllowed', 405, 'refused'],
    ['BadRequest', 400, 'unauthenticated'],
  ])('%s (%i) is %s', (name, status, code) => {
    expect(s3Error(thrown(name, status), ASKED).code).toBe(code);
  });

  it.each([
    ['ECONNREFUSED', 'unavailable'],
    ['ECONNRESET', 'unavailable'],
    ['ENOTFOUND', 'unavailable'],
    ['ETIMEDOUT', 'timeout'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', 'refused'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', 'refused'],
    ['EPROTO', 'refused'],
  ])('%s is %s', (code, expected) => {
    expect(s3Error(network(code, 'TimeoutError'), ASKED).code).toBe(expected);
  });

  it('say how long to wait', () => {
    expect(s3Error(thrown('SlowDown', 503, { 'retry-after': '7' }), ASKED).retryAfterSeconds).toBe(7);
    expect(s3Error(thrown('', 503, { 'retry-after': '9' }), ASKED)).toMatchObject({
      code: 'limited',
      retryAfterSeconds: 9,
    });
  });

  it('tell strangers to bring credentials, and others what these lack', () => {
    const refused = thrown('AccessDenied', 403);
    expect(s3Error(refused, { ...ASKED, anonymous: true }).hint).toContain('no credentials were found');
    expect(s3Error(refused, ASKED).hint).toContain('has to allow s3:GetObject');
  });

  it('hold nothing that was signed or sent, nor what a terminal would obey', () => {
    for (const error of [
      thrown('SignatureDoesNotMatch', 403),
      thrown('Odd\u001b[31m', 400, {}, 'bad \u001b[31m'),
      network('ECONNRESET'),
    ]) {
      const { message, hint, cause } = s3Error(error, ASKED);
      const all = [
        message,
        hint,
        String(cause),
        JSON.stringify(cause, Object.getOwnPropertyNames(cause)),
      ].join(' ');
      expect(all).not.toContain('AKIASECRET');
      expect(all).not.toContain('\u001b');
    }
  });
});
