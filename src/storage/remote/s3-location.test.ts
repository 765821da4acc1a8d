import { describe, expect, it } from 'vitest';
import { formatS3Location, isS3Location, parseS3Location, s3Settings } from './s3-location.js';

describe('s3://', () => {
  it('is a bucket and a prefix, as they are written', () => {
    expect(parseS3Location('s3://models')).toEqual({ bucket: 'models', prefix: '' });
    expect(parseS3Location('S3://models/a/b%20c d/')).toEqual({ bucket: 'models', prefix: 'a/b%20c d' });
    expect(formatS3Location(parseS3Location('s3://models//a/'))).toBe('s3://models/a');
    expect([isS3Location('s3://x'), isS3Location('s3/x')]).toEqual([true, false]);
  });

  it.each([
    's3://',
    's3:///x',
    's3://a',
    's3://-a-/x',
    's3://a..b/x',
    's3://a b/x',
    `s3://models/${'x'.repeat(901)}`,
    's3://models/a\nb',
  ])('refuses %j', (text) => {
    expect(() => parseS3Location(text)).toThrow(expect.objectContaining({ code: 'usage' }));
  });
});

describe('the environment', () => {
  it('names the endpoint and its style', () => {
    expect(s3Settings({})).toEqual({ style: 'virtual' });
    const other = { AWS_ENDPOINT_URL: 'https://third', AWS_ENDPOINT_URL_S3: 'https://second' };
    expect(s3Settings(other)).toEqual({ endpoint: new URL('https://second'), style: 'path' });
    expect(
      s3Settings({ ...other, CALYX_S3_ENDPOINT: 'http://first:9000', CALYX_S3_STYLE: 'virtual' }),
    ).toEqual({
      endpoint: new URL('http://first:9000'),
      style: 'virtual',
    });
  });

  it.each(['first:9000', 'ftp://first', 'https://me:secret@first', 'https://first/?x'])(
    'is refused with %j, which is not repeated',
    (text) => {
      const read = (): unknown => s3Settings({ CALYX_S3_ENDPOINT: text });
      expect(read).toThrow(expect.objectContaining({ code: 'usage' }));
      expect(read).not.toThrow('secret');
    },
  );

  it('is refused with a style that is none', () => {
    expect(() => s3Settings({ CALYX_S3_STYLE: 'paths' })).toThrow("CALYX_S3_STYLE is 'paths'");
  });
});
