import { open } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { ERROR_STATUS } from './error-status.js';
import { CalyxError, fileError, type ErrorCode } from './errors.js';
import { fromWireError, toWireError } from './wire-error.js';

describe('what is told of an error', () => {
  it('has the status of the one table: whoever is busy may be asked again', () => {
    for (const [code, status] of Object.entries(ERROR_STATUS))
      expect(toWireError(new CalyxError(code as ErrorCode, 'x')).status).toBe(status);
    expect(ERROR_STATUS).toMatchObject({ busy: 503, exists: 409, usage: 400, timeout: 504 });
  });

  it('is all of one that is about the request', () => {
    expect(toWireError(new CalyxError('busy', 'no room', { hint: 'wait' }))).toEqual({
      status: 503,
      body: { error: { code: 'busy', message: 'no room', hint: 'wait' } },
      reference: undefined,
    });
  });

  it.each<[string, unknown, number]>([
    ['an unexpected error', new TypeError("cannot read 'x' of undefined at /srv/calyx/secret.js:3"), 500],
    ['what is no error', '/srv/calyx/secret', 500],
    ['one that calls itself internal', new CalyxError('internal', 'at /srv/calyx/secret.js:3'), 500],
    ['one with a status of its own fault', Object.assign(new Error('/srv/secret'), { statusCode: 502 }), 500],
    ['a damaged file', new CalyxError('corrupt', '/srv/secret does not match its SHA-256'), 502],
    ['a full disk', new CalyxError('disk-full', 'cannot write /srv/secret'), 507],
  ])('is of %s a reference alone, which the log has too', (_what, error, status) => {
    const answer = toWireError(error);
    expect(answer.status).toBe(status);
    expect(answer.reference).toMatch(/^[0-9a-f]{8}$/);
    const text = JSON.stringify(answer.body);
    expect(text).toContain(`(reference ${answer.reference})`);
    expect(text).not.toMatch(/secret|srv/);
    expect(toWireError(error).reference).not.toBe(answer.reference);
  });

  it('is of what the system refused no path, whatever code it has', async () => {
    const error = await open('/no/such/secret').catch((reason: unknown) =>
      fileError(reason, 'cannot read', '/no/such/secret'),
    );
    const { status, body, reference } = toWireError(error);
    expect(status).toBe(404);
    expect(JSON.stringify(body)).not.toContain('secret');
    expect(reference).toBeDefined();
    expect(toWireError(error, { forAdmin: true }).body.error.message).toContain('/no/such/secret');
  });

  it('is not even to who manages the store what was not expected', () => {
    expect(JSON.stringify(toWireError(new Error('secret'), { forAdmin: true }).body)).not.toContain('secret');
  });

  it('is what the HTTP server says of a request that it cannot read', () => {
    const refusal = Object.assign(new Error('Request body is too large'), { statusCode: 413 });
    expect(toWireError(refusal)).toMatchObject({
      status: 413,
      body: { error: { code: 'usage', message: 'Request body is too large' } },
      reference: undefined,
    });
  });
});

describe('what is made of the error of a peer', () => {
  const body = { error: { code: 'busy', message: 'no room', hint: 'wait' } };

  it('is what it says, and who said it where many are asked', () => {
    expect(fromWireError(503, body, 'http://n')).toMatchObject({
      code: 'busy',
      message: 'no room',
      hint: 'wait',
    });
    expect(fromWireError(503, body, 'http://n', { always: true })).toMatchObject({
      code: 'busy',
      message: 'http://n: no room',
      hint: 'wait',
    });
  });

  it.each([
    [null],
    ['x'],
    [{ error: { code: 'toString', message: 'x' } }],
    [{ error: { code: 'busy', message: 1 } }],
  ])('is its status for %j', (strange) => {
    const peer = 'http://n';
    expect(fromWireError(404, strange, peer)).toMatchObject({
      code: 'not-found',
      message: `${peer} answered with status 404`,
    });
    expect(fromWireError(502, strange, peer).code).toBe('unavailable');
  });

  it('is bounded', () => {
    const long = { error: { code: 'busy', message: 'x'.repeat(100_000), hint: 'y'.repeat(100_000) } };
    const { message, hint } = fromWireError(503, long, 'n');
    expect([message.length, hint?.length]).toEqual([2000, 2000]);
  });
});
