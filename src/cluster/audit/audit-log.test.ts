import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { StepClock } from '../../../test/support/step-clock.js';
import type { Decision } from '../../core/doorkeeper.js';
import { AuditLog, type AuditLogOptions } from './audit-log.js';

const NOBODY = 65_534;
const GRANT = { tokenId: '0123456789ab', name: 'laptop', role: 'read', models: '*' } as const;
const READ: Decision = {
  door: 'http',
  action: 'GET /v1/blobs/:digest',
  subject: 'acme/llama',
  address: '192.0.2.1',
  grant: GRANT,
  allowed: true,
};
const REFUSED: Decision = {
  door: 'http',
  action: 'GET /v1/status',
  address: '192.0.2.1',
  allowed: false,
  reason: 'unauthenticated',
};

function openLog(options: Partial<AuditLogOptions> = {}) {
  const directory = testDirectory();
  const file = join(directory, 'audit.log');
  const clock = new StepClock();
  const said: string[] = [];
  const logger = {
    warn: (details: object, text: string) => said.push(`warn ${JSON.stringify(details)} ${text}`),
    info: (details: object, text: string) => said.push(`info ${JSON.stringify(details)} ${text}`),
  } as unknown as AuditLogOptions['logger'];
  const log = AuditLog.open(file, { logger, clock, ...options });
  onTestFinished(() => log.close());
  const lines = async (name = file): Promise<Record<string, unknown>[]> => {
    await log.flush();
    const text = await readFile(name, 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  return { log, file, directory, clock, said, lines };
}

/** Makes each write to a file fail as `write` does, until the test ends or that is undone. */
async function spoilWrites(write: (handle: FileHandle, bytes: Uint8Array) => Promise<unknown>) {
  const probe = await open(join(testDirectory(), 'probe'), 'w');
  const prototype = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const spy = vi.spyOn(prototype, 'write').mockImplementation(function (this: FileHandle, bytes: unknown) {
    return write(this, bytes as Uint8Array) as never;
  });
  const undo = () => spy.mockRestore();
  onTestFinished(undo);
  return { undo, spy };
}

const noSpace = () =>
  Promise.reject(Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' }));

describe('an audit log', () => {
  it('says who did what from where, and how that was answered', async () => {
    const { log, lines, file } = openLog();
    log.write(READ);
    log.write(REFUSED);
    expect(await lines()).toEqual([
      {
        time: '1970-01-01T00:16:40.000Z',
        door: 'http',
        action: 'GET /v1/blobs/:digest',
        subject: 'acme/llama',
        who: 'laptop',
        token: '0123456789ab',
        role: 'read',
        address: '192.0.2.1',
        allowed: true,
        count: 1,
      },
      {
        time: '1970-01-01T00:16:40.000Z',
        door: 'http',
        action: 'GET /v1/status',
        address: '192.0.2.1',
        allowed: false,
        reason: 'unauthenticated',
        count: 1,
      },
    ]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('bounds and escapes what comes from outside', async () => {
    const { log, file, lines } = openLog();
    const text = `\n{"x":1}\u001b[2J\u202e\u0085\u2028\ud800${'x'.repeat(10_000)}`;
    log.write({
      ...READ,
      action: text,
      subject: text,
      address: text,
      grant: { ...GRANT, name: text },
      reason: text,
    });
    const [line = {}, ...more] = await lines();
    expect(more).toEqual([]);
    for (const name of ['action', 'subject', 'who', 'address', 'reason'])
      expect(line[name]).toBe(text.slice(0, 200));
    expect(await readFile(file, 'utf8')).toMatch(/^[\u0020-\u007e]{1,2000}\n$/);
  });

  it('writes one line for refusals that are alike, with their count', async () => {
    const { log, clock, lines } = openLog();
    for (let n = 0; n < 1000; n += 1) log.write(REFUSED);
    log.write({ ...REFUSED, reason: 'refused' });
    log.write({ ...REFUSED, door: 'nfs' });
    log.write({ ...REFUSED, address: '192.0.2.2' });
    expect((await lines()).map(({ count }) => count)).toEqual([1, 1, 1, 1]);
    await clock.advance(9000);
    expect(await lines()).toHaveLength(4);
    await clock.advance(1000);
    const after = (await lines()).slice(4);
    expect(after).toMatchObject([{ ...REFUSED, count: 999, time: '1970-01-01T00:16:40.000Z' }]);
    log.write(REFUSED);
    expect((await lines()).at(-1)).toMatchObject({ count: 1, time: '1970-01-01T00:16:50.000Z' });
    await clock.advance(60_000);
    expect(await lines()).toHaveLength(6);
  });

  it('counts the refusals of a token that is known apart, and those of managing by what they were about', async () => {
    const { log, lines } = openLog();
    const over = { ...REFUSED, grant: GRANT };
    const kept = { ...over, door: 'management', action: 'remove', reason: 'refused' } as const;
    for (let time = 0; time < 3; time += 1)
      for (const decision of [
        REFUSED,
        over,
        { ...kept, subject: 'acme/rose' },
        { ...kept, subject: 'acme/lily' },
      ])
        log.write(decision);
    await log.close();
    const told = (await lines()).map(({ token, subject, count }) => [token, subject, count]);
    expect(told).toEqual(
      [1, 2].flatMap((count) => [
        [undefined, undefined, count],
        [GRANT.tokenId, undefined, count],
        [GRANT.tokenId, 'acme/rose', count],
        [GRANT.tokenId, 'acme/lily', count],
      ]),
    );
  });

  it('writes one line a minute for what is allowed to one in one place', async () => {
    const { log, clock, lines } = openLog();
    for (let n = 0; n < 60; n += 1) {
      log.write(READ);
      log.write({ ...READ, subject: 'acme/other' });
      await clock.advance(1000);
    }
    expect((await lines()).map(({ subject, count }) => [subject, count])).toEqual([
      ['acme/llama', 1],
      ['acme/other', 1],
      ['acme/llama', 59],
      ['acme/other', 59],
    ]);
  });

  it('counts no management together, but does so with refused attempts at it', async () => {
    const { log, lines } = openLog();
    const manage = { ...READ, door: 'management', action: 'token create' } as const;
    for (let n = 0; n < 3; n += 1) log.write(manage);
    for (let n = 0; n < 3; n += 1) log.write({ ...REFUSED, door: 'management' });
    expect((await lines()).map(({ allowed, count }) => [allowed, count])).toEqual([
      [true, 1],
      [true, 1],
      [true, 1],
      [false, 1],
    ]);
  });

  it('stays small in a flood from 100,000 addresses', async () => {
    const { log, lines, clock, file } = openLog();
    for (let n = 0; n < 100_000; n += 1)
      log.write({ ...REFUSED, address: `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}` });
    expect(await lines()).toHaveLength(1001);
    await clock.advance(10_000);
    const [last] = (await lines()).slice(1001);
    expect(last).toMatchObject({ address: 'many addresses', count: 98_999 });
    expect((await stat(file)).size).toBeLessThan(256 * 1024);
  });

  it('writes out what it can no longer count', async () => {
    const { log, lines } = openLog();
    log.write(READ);
    log.write(READ);
    for (let n = 0; n < 10_000; n += 1) {
      log.write({ ...READ, subject: `acme/m${n}` });
      // What waits for the disk is bounded, too.
      if (n % 1000 === 0) await log.flush();
    }
    expect(
      (await lines()).filter(({ subject }) => subject === 'acme/llama').map(({ count }) => count),
    ).toEqual([1, 1]);
  });

  it('writes everything when it is closed, and goes on in the same file', async () => {
    const { log, lines, file } = openLog();
    log.write(REFUSED);
    log.write(REFUSED);
    log.write(REFUSED);
    await log.close();
    await log.close();
    log.write(REFUSED);
    expect((await lines()).map(({ count }) => count)).toEqual([1, 2]);
    const next = AuditLog.open(file, { logger: { warn: vi.fn(), info: vi.fn() } });
    next.write(REFUSED);
    await next.close();
    expect(await lines()).toHaveLength(3);
  });

  it('rotates, and keeps so many files, all private', async () => {
    const { log, directory, lines, file } = openLog({ maxBytes: 1000, kept: 2 });
    for (let n = 0; n < 100; n += 1) {
      log.write({ ...READ, subject: `acme/m${n}` });
      await log.flush();
    }
    const names = (await readdir(directory)).sort();
    expect(names).toEqual(['audit.log', 'audit.log.1', 'audit.log.2']);
    for (const name of names) {
      const { mode, size } = await stat(join(directory, name));
      expect(mode & 0o777).toBe(0o600);
      expect(size).toBeLessThan(1300);
    }
    const all = [...(await lines(`${file}.2`)), ...(await lines(`${file}.1`)), ...(await lines())];
    expect(all.map(({ subject }) => subject)).toEqual(all.map((_, n) => `acme/m${100 - all.length + n}`));
  });

  it('makes a file private that was not', async () => {
    const { log, file } = openLog();
    await writeFile(file, '');
    await chmod(file, 0o644);
    log.write(READ);
    await log.flush();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('begins a line of its own after one that was cut off', async () => {
    const { log, file } = openLog();
    await writeFile(file, '{"time":');
    log.write(READ);
    await log.flush();
    const [cut, whole = ''] = (await readFile(file, 'utf8')).split('\n');
    expect([cut, JSON.parse(whole)]).toEqual(['{"time":', expect.objectContaining({ count: 1 })]);
  });

  it('goes on in a new file when its file was moved away', async () => {
    const { log, file, lines } = openLog();
    log.write(READ);
    await log.flush();
    await rename(file, `${file}.moved`);
    log.write(REFUSED);
    expect(await lines()).toMatchObject([{ allowed: false }]);
  });
});

describe('an audit log in trouble', () => {
  it('survives a full disk: lines wait, and that is said once', async () => {
    const { log, lines, clock, said } = openLog();
    log.write(READ);
    await log.flush();
    const { undo, spy } = await spoilWrites(noSpace);
    for (let n = 0; n < 5; n += 1) {
      log.write({ ...READ, subject: `acme/m${n}` });
      await log.flush();
    }
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/^warn .*ENOSPC.*cannot be written/);
    undo();
    spy.mockClear();
    await clock.advance(10_000);
    log.write(REFUSED);
    expect((await lines()).map(({ subject }) => subject)).toEqual([
      'acme/llama', 'acme/m0', 'acme/m1', 'acme/m2', 'acme/m3', 'acme/m4', undefined,
    ]); // prettier-ignore
    expect(said).toHaveLength(2);
    expect(said[1]).toContain('can be written again');
  });

  it('repeats whole what a full disk has cut off', async () => {
    const { log, file } = openLog();
    let first = true;
    const { undo } = await spoilWrites(async (handle, bytes) => {
      if (!first) return noSpace();
      first = false;
      await handle.appendFile(bytes.subarray(0, 10));
      return noSpace();
    });
    log.write(READ);
    await log.flush();
    undo();
    await log.flush();
    const [cut, whole = ''] = (await readFile(file, 'utf8')).split('\n');
    expect(cut).toHaveLength(10);
    expect(JSON.parse(whole)).toMatchObject({ subject: 'acme/llama' });
  });

  it('tries again only after a while, keeps a bounded number of lines, and says how many are lost', async () => {
    const { log, clock, lines } = openLog();
    const { undo, spy } = await spoilWrites(noSpace);
    const manage = { ...READ, door: 'management', action: 'token create' } as const;
    log.write(manage);
    await log.flush();
    spy.mockClear();
    for (let n = 0; n < 20_000; n += 1) log.write(manage);
    await new Promise((resolve) => setImmediate(resolve));
    expect(spy).not.toHaveBeenCalled();
    undo();
    await clock.advance(10_000);
    await log.flush();
    log.write(manage);
    const all = await lines();
    const lost = all.filter(({ action }) => action === 'audit lines lost');
    expect(lost).toHaveLength(1);
    expect(Number(lost[0]?.['count']) + all.length - 1).toBe(20_002);
    expect(all.length).toBeLessThan(10_000);
  });

  it.each([
    ['vanishes', async (directory: string) => rm(directory, { recursive: true })],
    [
      'is a file',
      async (directory: string) => {
        await rm(directory, { recursive: true });
        await writeFile(directory, '');
      },
    ],
    [
      'has a directory at its place',
      async (directory: string) => {
        await rm(join(directory, 'audit.log'));
        await mkdir(join(directory, 'audit.log'));
      },
    ],
  ])('survives that its directory %s', async (_what, spoil) => {
    const directory = join(testDirectory(), 'cluster');
    await mkdir(directory);
    const warn = vi.fn();
    const log = AuditLog.open(join(directory, 'audit.log'), { logger: { warn, info: vi.fn() } });
    log.write(READ);
    await log.flush();
    await spoil(directory);
    for (let n = 0; n < 3; n += 1) {
      log.write({ ...REFUSED, reason: `r${n}` });
      await log.flush();
    }
    expect(warn).toHaveBeenCalledTimes(1);
    await log.close();
  });

  it('survives that it may not rotate', async () => {
    const { log, file, said } = openLog({ maxBytes: 500, kept: 1 });
    await mkdir(join(`${file}.1`, 'full'), { recursive: true });
    for (let n = 0; n < 10; n += 1) {
      log.write({ ...READ, subject: `acme/m${n}` });
      await log.flush();
    }
    expect(said).toHaveLength(1);
    await rm(`${file}.1`, { recursive: true });
    await log.close();
    expect(said).toHaveLength(2);
    // What waited was more than one file holds.
    expect(await readFile(`${file}.1`, 'utf8')).toContain('acme/m9');
  });

  it('survives that it may not write', async () => {
    const { log, file, directory, said } = openLog();
    await chmod(directory, 0o500);
    // Root may write everywhere.
    const { geteuid, seteuid } = process;
    if (geteuid?.() === 0) {
      await chown(directory, NOBODY, NOBODY);
      seteuid?.(NOBODY);
      onTestFinished(() => seteuid?.(0));
    }
    log.write(READ);
    await log.flush();
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(/EACCES.*cannot be written/);
    await chmod(directory, 0o700);
    await log.flush();
    expect(await readFile(file, 'utf8')).toContain('acme/llama');
  });
});
