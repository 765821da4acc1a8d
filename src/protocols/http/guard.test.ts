import { describe, expect, it } from 'vitest';
import { checkOrigin, isLoopback } from './guard.js';

const refusal = expect.objectContaining({ code: 'refused' }) as unknown;

function verdict(host: string | undefined, origin?: string, fetchSite?: string, names?: string[]): unknown {
  try {
    checkOrigin({ host, origin, fetchSite }, names);
    return 'answered';
  } catch (error) {
    return error;
  }
}

describe('checkOrigin', () => {
  it.each([
    ['127.0.0.1:7070'],
    ['127.0.0.1'],
    ['localhost:7070'],
    ['LOCALHOST'],
    ['[::1]:7070'],
    ['[::1]'],
    ['192.168.1.5:7070'],
    ['store.lan:7070'],
  ])('answers the host %s', (host) => {
    expect(verdict(host, undefined, undefined, ['store.lan'])).toBe('answered');
  });

  it.each([
    [undefined],
    [''],
    ['evil.example'],
    ['evil.example:7070'],
    ['localhost.evil.example'],
    ['127.0.0.1.evil.example'],
    ['127.0.0.1@evil.example'],
    ['evil.example#127.0.0.1'],
    ['evil.example/127.0.0.1'],
    ['[::1'],
    ['::1'],
    ['[::1]evil.example'],
    ['127.0.0.1:7070:7070'],
    ['127.0.0.1:evil'],
    ['2130706433'],
    ['0x7f.1'],
    ['local host'],
    ['sub.store.lan'],
  ])('refuses the host %j', (host) => {
    expect(verdict(host, undefined, undefined, ['store.lan'])).toEqual(refusal);
  });

  it.each([
    ['http://127.0.0.1:7070', undefined],
    [undefined, 'none'],
    [undefined, 'same-origin'],
    ['http://127.0.0.1:7070', 'same-origin'],
  ])('answers its own pages: Origin %s, Sec-Fetch-Site %s', (origin, site) => {
    expect(verdict('127.0.0.1:7070', origin, site)).toBe('answered');
  });

  it.each([
    ['http://evil.example', undefined],
    ['https://127.0.0.1:7070', undefined],
    ['http://127.0.0.1:7071', undefined],
    ['http://127.0.0.1', undefined],
    ['http://127.0.0.1:7070.evil.example', undefined],
    ['null', undefined],
    ['', undefined],
    [undefined, 'cross-site'],
    [undefined, 'same-site'],
    [undefined, 'cross-site, same-origin'],
    [undefined, 'something-new'],
    ['http://127.0.0.1:7070', 'cross-site'],
  ])('refuses other pages: Origin %s, Sec-Fetch-Site %s', (origin, site) => {
    expect(verdict('127.0.0.1:7070', origin, site)).toEqual(refusal);
  });

  it('takes any name that came over TLS, but no page of another site', () => {
    const request = { host: 'store.lan:7070', origin: undefined, fetchSite: undefined };
    expect(() => checkOrigin(request)).toThrow("the host 'store.lan:7070'");
    expect(() => checkOrigin({ ...request, tls: true })).not.toThrow();
    expect(() => checkOrigin({ ...request, tls: true, origin: 'https://evil.example' })).toThrow(
      'other sites',
    );
    expect(() => checkOrigin({ ...request, tls: true, host: undefined })).toThrow('are not answered');
  });

  it('does not repeat a long host', () => {
    const error = verdict('e'.repeat(10_000));
    expect((error as Error).message.length).toBeLessThan(300);
  });
});

describe('isLoopback', () => {
  it.each([['127.0.0.1'], ['127.1.2.3'], ['::1'], ['localhost']])('is true for %s', (host) => {
    expect(isLoopback(host)).toBe(true);
  });

  it.each([
    ['0.0.0.0'],
    ['::'],
    ['192.168.1.5'],
    ['store.lan'],
    ['127.evil.example'],
    ['1270.0.0.1'],
    ['localhost.evil.example'],
    ['::ffff:0.0.0.0'],
    [''],
  ])('is false for %j', (host) => {
    expect(isLoopback(host)).toBe(false);
  });
});
