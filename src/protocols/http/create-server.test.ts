import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { FakeDoorkeeper, grantOf } from '../../../test/support/fake-doorkeeper.js';
import { fileError } from '../../core/errors.js';
import { createHttpServer, parseListenAddress } from './create-server.js';

describe('parseListenAddress', () => {
  it.each([
    ['127.0.0.1:7070', '127.0.0.1', 7070],
    ['0.0.0.0:0', '0.0.0.0', 0],
    ['[::1]:65535', '::1', 65_535],
    ['store.lan:80', 'store.lan', 80],
    [':7070', '127.0.0.1', 7070],
  ])('%s', (text, host, port) => {
    expect(parseListenAddress(text)).toEqual({ host, port });
  });

  it.each([
    [''],
    ['7070'],
    ['127.0.0.1'],
    ['127.0.0.1:'],
    ['127.0.0.1:65536'],
    ['127.0.0.1:99999'],
    ['127.0.0.1:-1'],
    ['127.0.0.1:7070x'],
    ['127.0.0.1: 7070'],
    ['::1:7070'],
    ['[::1]'],
    ['[evil]:7070'],
    ['http://127.0.0.1:7070'],
  ])('refuses %j', (text) => {
    expect(() => parseListenAddress(text)).toThrow(expect.objectContaining({ code: 'usage' }) as Error);
  });
});

describe('an error that nobody expected', () => {
  const lines: string[] = [];
  afterEach(() => lines.splice(0));

  /** What somebody is told, and what the log has. */
  async function fail(
    error: unknown,
    token?: string,
  ): Promise<{ status: number; body: string; log: string }> {
    const sink = new Writable({
      write: (line: Buffer, _encoding, done) => {
        lines.push(line.toString());
        done();
      },
    });
    const doorkeeper = new FakeDoorkeeper();
    doorkeeper.grants.set('reader', grantOf('reader', 'read'));
    doorkeeper.grants.set('admin', grantOf('admin', 'admin'));
    const server = createHttpServer({ logger: pino({}, sink), doorkeeper });
    server.get('/fails', { config: { access: 'read' } }, () => {
      throw error;
    });
    const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    const answer = await server.inject({ url: '/fails', headers });
    await server.close();
    return { status: answer.statusCode, body: answer.body, log: lines.join('') };
  }

  it.each([['reader'], ['admin'], [undefined]])(
    'is a reference for %s, and in full in the log',
    async (token) => {
      const { status, body, log } = await fail(new TypeError('of undefined in /srv/secret.js'), token);
      expect(status).toBe(500);
      expect(body).not.toContain('secret');
      const reference = /reference ([0-9a-f]{8})/.exec(body)?.[1];
      expect(JSON.parse(log)).toMatchObject({ reference, url: '/fails', err: { type: 'TypeError' } });
      expect(log).toContain('/srv/secret.js');
      expect(log).toContain('create-server.test');
    },
  );

  it('names files to who manages the store alone', async () => {
    const failure = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', syscall: 'read' });
    const error = fileError(failure, 'cannot read', '/srv/secret');
    const told = await fail(error, 'reader');
    expect(told).toMatchObject({ status: 500, log: expect.stringContaining('/srv/secret') as string });
    expect(told.body).not.toContain('secret');
    expect(JSON.parse(told.body)).toMatchObject({ error: { code: 'unreadable' } });
    expect((await fail(error, 'admin')).body).toContain(
      'cannot read /srv/secret: the disk reported an I/O error',
    );
  });
});
