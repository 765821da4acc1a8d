import * as crypto from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { StepClock } from '../../../test/support/step-clock.js';
import { parseToken } from '../../core/cluster-token.js';
import { CalyxError } from '../../core/errors.js';
import { TokenTable, type TokenTableOptions } from './token-table.js';

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof crypto>();
  return { ...real, createHash: vi.fn(real.createHash), timingSafeEqual: vi.fn(real.timingSafeEqual) };
});

const FINGERPRINT = 'f'.repeat(43);
/** `printf %s SECRET | sha256sum`, by coreutils. */
const SECRET = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8';
const SECRET_SHA256 = 'ea866a757e4c38babfa8127cbe9a409d3e1f93a00ff1488ff735fcf917afffd0';
const DAY = 86_400_000;

async function openTable(options: Partial<TokenTableOptions> = {}, directory = testDirectory()) {
  const clock = new StepClock();
  const file = join(directory, 'cluster', 'tokens.json');
  const open = async (more: Partial<TokenTableOptions> = {}) => {
    const table = await TokenTable.open(file, { fingerprint: FINGERPRINT, clock, ...options, ...more });
    onTestFinished(() => table.close());
    return table;
  };
  return { table: await open(), clock, file, open };
}

const READER = { name: 'laptop', role: 'read', models: 'acme/*' } as const;

/** Everything that a check of a token says, to find what it tells to whom. */
async function refusal(table: TokenTable, text: string): Promise<string> {
  const error = await expectError(() => table.check(text), 'unauthenticated', 'calyx token create');
  return error.message;
}

const withSecret = (text: string, secret: string): string =>
  text.replace(/^(calyx1\.[0-9a-f]{12}\.)[^.]+/, `$1${secret}`);

describe('a table of tokens', () => {
  it('makes tokens that it knows again, also after a restart', async () => {
    const { table, open } = await openTable();
    const { token, record } = await table.create(READER);
    expect(parseToken(token)).toMatchObject({ id: record.id, fingerprint: FINGERPRINT });
    const grant = { tokenId: record.id, ...READER };
    expect(table.check(token)).toEqual(grant);
    expect((await open()).check(token)).toEqual(grant);
    expect(table.list()).toEqual([record]);
    expect(record).toMatchObject({ ...READER, createdAt: 1_000_000 });
  });

  it('keeps SHA-256 of a secret alone, in a file and a directory for the owner alone', async () => {
    const { table, file } = await openTable();
    const { token } = await table.create(READER);
    const text = await readFile(file, 'utf8');
    expect(text).not.toContain(parseToken(token)?.secret);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(file, '..'))).mode & 0o777).toBe(0o700);
    expect(JSON.stringify(table.list())).not.toMatch(/sha256|[0-9a-f]{64}/);
  });

  it('knows a secret by a hash that another tool made', async () => {
    const { file, open } = await openTable();
    await mkdir(join(file, '..'));
    const stored = { id: '0123456789ab', ...READER, createdAt: 1, sha256: SECRET_SHA256 };
    await writeFile(file, JSON.stringify({ version: 1, tokens: [stored] }), { mode: 0o600 });
    const table = await open();
    expect(table.check(`calyx1.0123456789ab.${SECRET}.${FINGERPRINT}`)).toMatchObject({ name: 'laptop' });
    await refusal(table, `calyx1.0123456789ab.${SECRET.replace(/8$/, '9')}.${FINGERPRINT}`);
  });

  it('says what is wrong with a token as far as its holder may know', async () => {
    const { table, clock } = await openTable();
    const good = await table.create(READER);
    const expiring = await table.create({ ...READER, expiresInMs: 1000 });
    const revoked = await table.create(READER);
    await table.revoke(revoked.record.id);
    await clock.advance(1000);
    expect(await refusal(table, '')).toContain('not a token');
    expect(await refusal(table, 'hf_abcdef')).toContain('not a token');
    expect(await refusal(table, 'x'.repeat(1_000_000))).toContain('not a token');
    expect(await refusal(table, good.token.replace(/f$/, 'e'))).toContain('another cluster');
    const unknown = await refusal(table, good.token.replace(good.record.id, '0'.repeat(12)));
    expect(unknown).toContain('not known');
    expect(await refusal(table, expiring.token)).toContain('expired');
    expect(await refusal(table, revoked.token)).toContain('revoked');
    for (const { token } of [good, expiring, revoked])
      expect(await refusal(table, withSecret(token, SECRET))).toBe(unknown);
  });

  it('does the same work for an id that it does not know', async () => {
    const { table } = await openTable();
    const { token, record } = await table.create(READER);
    const work = async (text: string) => {
      vi.mocked(crypto.createHash).mockClear();
      vi.mocked(crypto.timingSafeEqual).mockClear();
      await refusal(table, text);
      const compared = vi
        .mocked(crypto.timingSafeEqual)
        .mock.calls.map(([a, b]) => [a.byteLength, b.byteLength]);
      return { hashed: vi.mocked(crypto.createHash).mock.calls, compared };
    };
    const wrong = withSecret(token, SECRET);
    const known = await work(wrong);
    expect(known).toEqual({ hashed: [['sha256']], compared: [[32, 32]] });
    expect(await work(wrong.replace(record.id, 'ffffffffffff'))).toEqual(known);
  });

  it('revokes at once, for good, and tells', async () => {
    const { table, open } = await openTable();
    const { token, record } = await table.create(READER);
    const told: string[] = [];
    const before = table.version;
    table.onRevoked((id) => told.push(id));
    const end = table.onRevoked(() => told.push('never'));
    end();
    const changed = table.changed(before, new AbortController().signal);
    const revoked = await table.revoke(record.id);
    await changed;
    expect(revoked).toMatchObject({ id: record.id, revokedAt: 1_000_000 });
    expect(told).toEqual([record.id]);
    expect(table.version).not.toBe(before);
    await refusal(table, token);
    expect(await table.revoke(record.id)).toEqual(revoked);
    expect(told).toEqual([record.id]);
    const restarted = await open();
    await refusal(restarted, token);
    expect(restarted.denied()).toEqual([record.id]);
    await expectError(() => table.revoke('ffffffffffff'), 'not-found', 'ffffffffffff', 'calyx token list');
  });

  it('tells of expiry at its moment', async () => {
    const { table, clock } = await openTable();
    const told: string[] = [];
    table.onRevoked((id) => told.push(id));
    const late = await table.create({ ...READER, expiresInMs: 100 * DAY });
    const early = await table.create({ ...READER, expiresInMs: 5000 });
    const before = table.version;
    await clock.advance(4999);
    expect(table.check(early.token).tokenId).toBe(early.record.id);
    expect([told, table.version, table.denied()]).toEqual([[], before, []]);
    await clock.advance(1);
    expect([told, table.denied()]).toEqual([[early.record.id], [early.record.id]]);
    expect(table.version).not.toBe(before);
    // Further than a timer of Node can hold.
    await clock.advance(100 * DAY);
    expect(told).toEqual([early.record.id, late.record.id]);
  });

  it('denies for 25 hours, lists for 30 days', async () => {
    const { table, clock } = await openTable();
    const { record } = await table.create(READER);
    await table.revoke(record.id);
    await clock.advance(25 * 3_600_000 - 1);
    expect(table.denied()).toEqual([record.id]);
    await clock.advance(1);
    expect(table.denied()).toEqual([]);
    await table.create(READER);
    expect(table.list()).toHaveLength(2);
    await clock.advance(29 * DAY);
    await table.create(READER);
    expect(table.list().map(({ id }) => id)).not.toContain(record.id);
  });

  it('has a higher version after each change and each start, also when the clock was set back', async () => {
    const { table, open, clock } = await openTable();
    const versions = [table.version];
    const { record } = await table.create({ ...READER, expiresInMs: 1000 });
    versions.push(table.version);
    await clock.advance(1000);
    versions.push(table.version);
    await table.revoke(record.id);
    versions.push(table.version);
    await table.close();
    const restarted = await open();
    versions.push(restarted.version);
    await restarted.keepVersion();
    const early = new StepClock();
    expect(early.now()).toBeLessThan(clock.now());
    versions.push((await open({ clock: early })).version);
    expect(versions).toEqual([...new Set(versions)].sort((a, b) => a - b));
  });

  it('has a version that is not lower than the time, so one from a backup is newer than what was told before', async () => {
    const { table, file, open, clock } = await openTable();
    await table.create(READER);
    const backup = await readFile(file);
    for (let n = 0; n < 3; n += 1) await table.create(READER);
    const told = table.version;
    await table.close();
    await writeFile(file, backup);
    await clock.advance(1000);
    const restored = await open();
    expect(restored.list()).toHaveLength(1);
    expect(restored.version).toBeGreaterThan(told);
    expect(restored.version).toBeGreaterThanOrEqual(clock.now());
  });

  it('keeps the version of what expires', async () => {
    const { table, clock, open } = await openTable();
    await table.create({ ...READER, expiresInMs: 1000 });
    await clock.advance(1000);
    const told = table.version;
    await table.close();
    expect((await open({ clock: new StepClock() })).version).toBeGreaterThan(told);
  });

  it('stops waiting when the signal says so', async () => {
    const { table } = await openTable();
    const stop = new AbortController();
    const changed = table.changed(table.version, stop.signal);
    stop.abort(new Error('enough'));
    await expect(changed).rejects.toThrow('enough');
    await expect(table.changed(table.version, stop.signal)).rejects.toThrow('enough');
    await table.changed(table.version + 1, new AbortController().signal);
  });

  it('has changed nothing if it cannot be written', async () => {
    const { table, file } = await openTable();
    const { token, record } = await table.create(READER);
    const told: string[] = [];
    table.onRevoked((id) => told.push(id));
    const before = [table.list(), table.version];
    await rm(join(file, '..'), { recursive: true });
    // A file where the directory was stops even root.
    await writeFile(join(file, '..'), '');
    await expect(table.revoke(record.id)).rejects.toThrow(dirname(file));
    await expect(table.create(READER)).rejects.toThrow(dirname(file));
    expect([table.list(), table.version]).toEqual(before);
    expect(table.check(token)).toMatchObject({ tokenId: record.id });
    expect(told).toEqual([]);
    await rm(join(file, '..'));
    await table.revoke(record.id);
    expect(told).toEqual([record.id]);
  });

  it('makes changes one after another', async () => {
    const { table, file, open } = await openTable();
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, n) => table.create({ ...READER, name: `n${n}` })),
    );
    await Promise.all(made.slice(0, 10).map(({ record }) => table.revoke(record.id)));
    const restarted = await open();
    expect(restarted.list()).toEqual(table.list());
    expect(restarted.denied()).toHaveLength(10);
    expect(await readdir(join(file, '..'))).toEqual(['tokens.json']);
  });

  it('has room for so many, and those that are over make room', async () => {
    const { table, clock } = await openTable({ maxTokens: 2 });
    const first = await table.create(READER);
    await table.create(READER);
    await expectError(() => table.create(READER), 'over-budget', '2 tokens');
    await table.revoke(first.record.id);
    await expectError(() => table.create(READER), 'over-budget');
    await clock.advance(25 * 3_600_000);
    await table.create(READER);
    expect(table.find(first.record.id)).toBeUndefined();
  });

  it('has room for so many that are made with one token, directly or through others', async () => {
    const { table, clock } = await openTable({ maxTokensUnderOne: 2 });
    const admin = { ...READER, role: 'admin' } as const;
    const [first, second] = [(await table.create(admin)).record, (await table.create(admin)).record];
    const child = (await table.create({ ...admin, madeWith: first.id })).record;
    const grandchild = (await table.create({ ...READER, madeWith: child.id })).record;
    expect([first, child, grandchild].map(({ under }) => under)).toEqual([undefined, first.id, first.id]);
    for (const { id } of [first, child])
      await expectError(
        () => table.create({ ...READER, madeWith: id }),
        'over-budget',
        `2 tokens were made with the token ${first.id} or with one of these`,
      );
    // Nobody else is held up by that, nor who manages the store on its machine.
    await table.create({ ...READER, madeWith: second.id });
    await table.create(READER);
    // To revoke and make anew is no way around it.
    await table.revoke(grandchild.id);
    await expectError(() => table.create({ ...READER, madeWith: first.id }), 'over-budget');
    await clock.advance(25 * 3_600_000);
    await table.create({ ...READER, madeWith: first.id });
  });

  it('makes its local token however many others there are; what is made with it counts under nobody', async () => {
    const { table, file } = await openTable({ maxTokens: 1, maxTokensUnderOne: 0 });
    await table.create(READER);
    const { tokenId } = table.check(await table.ensureLocal(join(file, '../local-token')));
    await expectError(
      () => table.create({ ...READER, ...(tokenId && { madeWith: tokenId }) }),
      'over-budget',
      '2 tokens',
    );
  });

  it.each([
    ['no name', { name: '' }],
    ['an endless name', { name: 'n'.repeat(101) }],
    ['a name that moves the cursor', { name: 'a\u001b[2J' }],
    ['a name on two lines', { name: 'a\nb' }],
    ['the name of the local token', { name: 'local' }],
    ['a pattern that is none', { models: 'acme' }],
    ['a pattern that is a path', { models: 'a/b/c' }],
    ['a time that is over', { expiresInMs: 0 }],
    ['no number', { expiresInMs: NaN }],
    ['more than ten years', { expiresInMs: 4000 * DAY }],
  ])('refuses %s', async (_what, wrong) => {
    const { table } = await openTable();
    await expectError(() => table.create({ ...READER, ...wrong }), 'usage');
    expect(table.list()).toEqual([]);
  });

  it.each([
    ['no JSON', 'secret'],
    ['another version', '{"version":2,"tokens":[]}'],
    ['a field too many', '{"version":1,"tokens":[],"x":1}'],
    ['a role that is none', tableWith({ role: 'root' })],
    ['a pattern that is none', tableWith({ models: '' })],
    ['a hash that is cut off', tableWith({ sha256: SECRET_SHA256.slice(2) })],
    ['the same id twice', tableWith({}, {})],
  ])('refuses a file with %s', async (_what, text) => {
    const { file, open } = await openTable();
    await mkdir(join(file, '..'));
    await writeFile(file, text, { mode: 0o600 });
    const error = await expectError(() => open(), 'unreadable', file, 'not a table of tokens');
    expect(error.message).not.toContain('secret');
  });

  it.each([0o640, 0o604, 0o620].map((mode) => [mode.toString(8), mode] as const))(
    'refuses a file with mode %s',
    async (_text, mode) => {
      const { table, file, open } = await openTable();
      await table.create(READER);
      await chmod(file, mode);
      await expectError(() => open(), 'refused', file, `0${mode.toString(8)}`, 'chmod 600');
    },
  );
});

function tableWith(...changes: object[]): string {
  const stored = { id: '0123456789ab', ...READER, createdAt: 1, sha256: SECRET_SHA256 };
  return JSON.stringify({ version: 1, tokens: changes.map((change) => ({ ...stored, ...change })) });
}

describe('the local token', () => {
  async function local() {
    const all = await openTable();
    return { ...all, path: join(all.file, '..', 'local-token') };
  }

  it('is made once, for who may read the file', async () => {
    const { table, path, open } = await local();
    const token = await table.ensureLocal(path);
    expect((await readFile(path, 'utf8')).trim()).toBe(token);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(table.check(token)).toMatchObject({ name: 'local', role: 'admin', models: '*' });
    const restarted = await open();
    expect(await restarted.ensureLocal(path)).toBe(token);
    expect(restarted.list()).toHaveLength(1);
  });

  it.each([
    ['is missing', (path: string) => rm(path)],
    ['holds something else', (path: string) => writeFile(path, 'else')],
    [
      'holds the token of another cluster',
      async (path: string) => {
        await writeFile(path, (await readFile(path, 'utf8')).replace(/f\n$/, 'e\n'));
      },
    ],
  ])('is made anew if the file %s, and the old one is revoked', async (_what, spoil) => {
    const { table, path } = await local();
    const old = await table.ensureLocal(path);
    await spoil(path);
    const told: string[] = [];
    table.onRevoked((id) => told.push(id));
    const token = await table.ensureLocal(path);
    expect(token).not.toBe(old);
    expect(table.check(token)).toMatchObject({ role: 'admin' });
    expect(await refusal(table, old)).toContain('revoked');
    expect(told).toEqual([parseToken(old)?.id]);
  });

  it('is made anew if it was revoked, or is not one of admin', async () => {
    const { table, path } = await local();
    const old = await table.ensureLocal(path);
    await table.revoke(parseToken(old)?.id ?? '');
    const second = await table.ensureLocal(path);
    expect(table.check(second)).toMatchObject({ name: 'local' });
    const { token } = await table.create(READER);
    await writeFile(path, token);
    expect(table.check(await table.ensureLocal(path))).toMatchObject({ role: 'admin' });
    expect(table.check(token)).toMatchObject(READER);
  });

  it.each([0o640, 0o604, 0o644].map((mode) => [mode.toString(8), mode] as const))(
    'is refused if its file has mode %s',
    async (_text, mode) => {
      const { table, path } = await local();
      await table.ensureLocal(path);
      await chmod(path, mode);
      await expectError(() => table.ensureLocal(path), 'refused', path, 'remove it');
    },
  );
});

describe('a table that follows another', () => {
  const elsewhere = () => new CalyxError('unavailable', 'ask the writer');
  const follower = () => openTable({ elsewhere });
  const stored = (id: string, more: object = {}) => ({
    id: id.repeat(12),
    ...READER,
    createdAt: 1,
    sha256: SECRET_SHA256,
    ...more,
  });
  const denied = { statement: '{}', signature: 'signed' };
  const told = (version: number, ...tokens: ReturnType<typeof stored>[]) => ({ version, tokens, denied });
  const textOf = (id: string) => `calyx1.${id.repeat(12)}.${SECRET}.${FINGERPRINT}`;

  it('takes over what that lists, also after a restart', async () => {
    const { table, open, file } = await follower();
    expect([table.version, table.toldDenied]).toEqual([0, undefined]);
    await table.replace(told(7, stored('a'), stored('b', { revokedAt: 5 }))).written;
    for (const one of [table, await open()]) {
      expect(one.check(textOf('a'))).toMatchObject({ name: 'laptop' });
      await refusal(one, textOf('b'));
      expect([one.version, one.toldDenied]).toEqual([7, denied]);
    }
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  it('does not take what is older, nor another one of the same age, also after a restart', async () => {
    const { table, open } = await follower();
    await table.replace(told(7, stored('a'))).written;
    for (const one of [table, await open()]) {
      await expectError(() => one.replace(told(6, stored('a'), stored('b'))), 'corrupt', 'older (6)', '(7)');
      await expectError(() => one.replace(told(7, stored('a'), stored('b'))), 'corrupt', 'same version');
      await expectError(() => one.replace(told(0)), 'corrupt');
      expect(one.check(textOf('a'))).toMatchObject({ name: 'laptop' });
      await refusal(one, textOf('b'));
      expect(one.version).toBe(7);
    }
    await table.replace(told(8, stored('a'), stored('b'))).written;
    expect(table.check(textOf('b'))).toMatchObject({ name: 'laptop' });
  });

  it('tells at once which tokens are good for nothing any more', async () => {
    const { table, clock } = await follower();
    const kept = ['a', 'b', 'c', 'd', 'e', 'f'].map((id) => stored(id));
    await table.replace(told(1, ...kept, stored('0', { revokedAt: 5 }))).written;
    const ended: string[] = [];
    table.onRevoked((id) => ended.push(id[0] ?? ''));
    const now = clock.now();
    const changed = table.changed(1, AbortSignal.timeout(5_000));
    const { written } = table.replace(
      told(
        2,
        stored('a'),
        stored('b', { revokedAt: now }),
        stored('c', { expiresAt: now }),
        // Another secret under the same id, or less than it allowed: what goes on under it is not what it says now.
        stored('d', { sha256: '0'.repeat(64) }),
        stored('e', { models: 'acme/x' }),
        stored('1', { revokedAt: now }),
      ),
    );
    // Not only when it is on the disk.
    expect(ended.sort()).toEqual(['b', 'c', 'd', 'e', 'f']);
    expect(table.denied().map((id) => id[0])).toEqual(['b', 'c', '1']);
    await changed;
    await written;
  });

  it('tells of what expires later, under the version of that one, and counts also if it cannot be written', async () => {
    const { table, clock, file } = await follower();
    await mkdir(file, { recursive: true });
    const ended: string[] = [];
    table.onRevoked((id) => ended.push(id));
    const { written } = table.replace(told(1, stored('a', { expiresAt: clock.now() + 1000 })));
    expect(table.check(textOf('a'))).toMatchObject({ name: 'laptop' });
    await expect(written).rejects.toThrow('cannot write');
    await clock.advance(1000);
    expect(ended).toEqual(['a'.repeat(12)]);
    expect(table.version).toBe(1);
  });

  it('changes nothing for a table that is the same', async () => {
    const { table, file } = await follower();
    await table.replace(told(3, stored('a'))).written;
    const { ino } = await stat(file);
    await table.replace(told(3, stored('a'))).written;
    expect((await stat(file)).ino).toBe(ino);
  });

  it('makes and revokes none of its own', async () => {
    const { table, file } = await follower();
    await table.replace(told(1, stored('a'))).written;
    await expectError(() => table.create(READER), 'unavailable', 'ask the writer');
    await expectError(() => table.revoke('a'.repeat(12)), 'unavailable');
    await expectError(() => table.ensureLocal(join(file, '..', 'local-token')), 'unavailable');
    expect(table.check(textOf('a'))).toMatchObject({ name: 'laptop' });
  });
});
