import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { StepClock } from '../../../test/support/step-clock.js';
import type { Grant } from '../../core/access.js';
import type { Decision } from '../../core/doorkeeper.js';
import type { CalyxError } from '../../core/errors.js';
import { holderOf } from '../../core/holder-refused.js';
import { certificateEnd } from './certificates.js';
import { NodeDoorkeeper } from './node-doorkeeper.js';
import { StoreDoorkeeper, type StoreDoorkeeperOptions } from './store-doorkeeper.js';
import { TokenTable } from './token-table.js';

const FINGERPRINT = 'f'.repeat(43);
const READER = { name: 'laptop', role: 'read', models: 'acme/*' } as const;
const WRONG = `calyx1.0123456789ab.${'A'.repeat(43)}.${FINGERPRINT}`;
const ADDRESS = '192.0.2.1';

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
}

/** A certificate by OpenSSL, and when OpenSSL says that it is over. */
function certificate(): { der: Uint8Array; endsAt: number } {
  const directory = testDirectory();
  const out = join(directory, 'c.pem');
  const key = join(directory, 'k.pem');
  execFileSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
    ...['-subj', '/CN=x', '-keyout', key, '-out', out],
  ], { stdio: 'ignore' }); // prettier-ignore
  const [, end = ''] = execFileSync('openssl', ['x509', '-in', out, '-noout', '-enddate'], {
    encoding: 'utf8',
  }).split('=');
  const pem = execFileSync('openssl', ['x509', '-in', out], { encoding: 'utf8' });
  return { der: new X509Certificate(pem).raw, endsAt: Date.parse(end) };
}

async function keeper(options: Partial<StoreDoorkeeperOptions> = {}) {
  const timeOfDay = new StepClock();
  const clock = new ManualClock();
  const table = await TokenTable.open(join(testDirectory(), 'tokens.json'), {
    fingerprint: FINGERPRINT,
    clock: timeOfDay,
  });
  onTestFinished(() => table.close());
  const decisions: Decision[] = [];
  const door = new StoreDoorkeeper({
    table,
    grantOfCertificate: () => undefined,
    decided: (decision) => decisions.push(decision),
    clock,
    timeOfDay,
    ...options,
  });
  const { token, record } = await table.create(READER);
  const wrong = (address = ADDRESS) => {
    try {
      door.whoIs({ address, token: WRONG });
    } catch (error) {
      const { code, retryAfterSeconds } = error as { code: string; retryAfterSeconds?: number };
      return retryAfterSeconds ?? code;
    }
    return 'it passed';
  };
  return { table, door, clock, timeOfDay, token, record, wrong, decisions };
}

describe('the doorkeeper of a store', () => {
  it('knows a token, and asks who shows nothing for one', async () => {
    const { door, token, record } = await keeper();
    expect(door.whoIs({ address: ADDRESS, token })).toEqual({ tokenId: record.id, ...READER });
    await expectError(() => door.whoIs({ address: ADDRESS }), 'unauthenticated', 'calyx token create');
    await expectError(() => door.whoIs({ address: ADDRESS, token: '' }), 'unauthenticated');
  });

  it('locks an address out for longer and longer', async () => {
    const { clock, wrong } = await keeper();
    const five = [wrong(), wrong(), wrong(), wrong(), wrong()];
    expect(five).toEqual(Array(5).fill('unauthenticated'));
    for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
      expect(wrong()).toBe(seconds);
      clock.advance(seconds * 1000 - 1);
      expect(wrong()).toBe(1);
      clock.advance(1);
      expect(wrong()).toBe('unauthenticated');
    }
    expect(wrong('192.0.2.2')).toBe('unauthenticated');
    // A minute after the lock, all is forgotten.
    clock.advance(120_000);
    for (let n = 0; n < 5; n += 1) expect(wrong()).toBe('unauthenticated');
    expect(wrong()).toBe(1);
  });

  it('forgives slow mistakes', async () => {
    const { clock, wrong } = await keeper();
    for (let n = 0; n < 20; n += 1) {
      expect(wrong()).toBe('unauthenticated');
      clock.advance(15_001);
    }
  });

  it('lets a right token pass from an address that is locked out, and says what is over', async () => {
    const { door, table, token, wrong } = await keeper();
    const over = await table.create(READER);
    await table.revoke(over.record.id);
    for (let n = 0; n < 6; n += 1) wrong();
    expect(wrong()).toBe(1);
    expect(door.whoIs({ address: ADDRESS, token })).toMatchObject(READER);
    // Whoever knows the secret did not guess.
    for (let n = 0; n < 20; n += 1)
      await expectError(
        () => door.whoIs({ address: ADDRESS, token: over.token }),
        'unauthenticated',
        'revoked',
      );
  });

  it('takes a /64 for one address', async () => {
    const { wrong } = await keeper();
    for (const address of [
      '2001:db8::1',
      '2001:db8:0:0:1::',
      '2001:0db8:0::ffff',
      '2001:DB8::9',
      '2001:db8::a%eth0',
    ])
      expect(wrong(address)).toBe('unauthenticated');
    expect(wrong('2001:db8::b')).toBe(1);
    expect(wrong('2001:db8:0:1::1')).toBe('unauthenticated');
    expect(wrong('::1')).toBe('unauthenticated');
  });

  it('needs no more memory for 100,000 addresses than for 10,000', async () => {
    const { wrong, door, token } = await keeper();
    const flood = (first: number) => {
      for (let n = first; n < first + 50_000; n += 1) wrong(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
      collectGarbage();
      return process.memoryUsage().heapUsed;
    };
    const before = flood(0);
    const after = flood(50_000);
    expect(after - before).toBeLessThan(8 * 1024 * 1024);
    expect(door.whoIs({ address: ADDRESS, token })).toMatchObject(READER);
  });

  it('gives each token so many requests', async () => {
    const { door, clock, table, token } = await keeper({ requestsPerSecond: 10, burst: 3 });
    const other = await table.create(READER);
    const ask = () => door.whoIs({ address: ADDRESS, token });
    for (let n = 0; n < 3; n += 1) ask();
    const error = await expectError(ask, 'limited', '10 requests per second');
    expect(error.retryAfterSeconds).toBe(1);
    door.whoIs({ address: ADDRESS, token: other.token });
    clock.advance(99);
    await expectError(ask, 'limited');
    clock.advance(1);
    ask();
    clock.advance(3_600_000);
    for (let n = 0; n < 3; n += 1) ask();
    await expectError(ask, 'limited');
  });

  it('allows 4,000 requests at once and 2,000 in a second', async () => {
    const { door, clock, token } = await keeper();
    const count = () => {
      let passed = 0;
      for (;;) {
        try {
          door.whoIs({ address: ADDRESS, token });
          passed += 1;
        } catch {
          return passed;
        }
      }
    };
    expect(count()).toBe(4000);
    clock.advance(1000);
    expect(count()).toBe(2000);
  });

  it('knows a certificate as long as it and its token are good', async () => {
    const { der, endsAt } = certificate();
    let grant: Grant | undefined;
    const { door, table, timeOfDay, record } = await keeper({ grantOfCertificate: () => grant });
    const show = (shown = der) => door.whoIs({ address: ADDRESS, certificate: shown });
    await expectError(show, 'unauthenticated', 'does not say who');
    grant = { ...READER, tokenId: undefined };
    await expectError(show, 'unauthenticated', 'does not say who');
    grant = { ...READER, tokenId: 'ffffffffffff' };
    await expectError(() => show(Buffer.from(der)), 'unauthenticated', 'not known');
    grant = { ...READER, tokenId: record.id };
    expect(show()).toEqual(grant);
    await expectError(
      () => door.whoIs({ address: ADDRESS, certificate: der, token: WRONG }),
      'unauthenticated',
      'not known',
    );
    await timeOfDay.advance(endsAt - timeOfDay.now() - 1);
    expect(show()).toEqual(grant);
    await timeOfDay.advance(1);
    await expectError(show, 'unauthenticated', 'is over');
    expect(certificateEnd(der)).toBe(endsAt);
    await expectError(() => certificateEnd(Buffer.from('x')), 'unauthenticated');
    await table.revoke(record.id);
  });

  it('knows no certificate of a token that was revoked', async () => {
    const { der } = certificate();
    let id = '';
    const { door, table, record } = await keeper({ grantOfCertificate: () => ({ ...READER, tokenId: id }) });
    id = record.id;
    door.whoIs({ address: ADDRESS, certificate: der });
    const told: string[] = [];
    door.onRevoked((tokenId) => told.push(tokenId));
    await table.revoke(id);
    expect(told).toEqual([id]);
    await expectError(() => door.whoIs({ address: ADDRESS, certificate: der }), 'unauthenticated', 'revoked');
  });

  it('names whoever has proven to be the holder of a token that is over or asks too often, and nobody else', async () => {
    const { der } = certificate();
    let id = '';
    const { door, table, record, token } = await keeper({
      burst: 1,
      requestsPerSecond: 1,
      grantOfCertificate: () => ({ ...READER, tokenId: id }),
    });
    id = record.id;
    const named = (shown: { token?: string; certificate?: Uint8Array }): [string, string | undefined] => {
      try {
        door.whoIs({ address: ADDRESS, ...shown });
      } catch (error) {
        return [(error as CalyxError).code, holderOf(error)?.tokenId];
      }
      return ['', undefined];
    };
    const guessed = token.replace(
      /^(calyx1\.[0-9a-f]+\.)[^.]+/,
      (_all, before: string) => before + 'A'.repeat(43),
    );
    expect(named({ token })).toEqual(['', undefined]);
    expect(named({ token })).toEqual(['limited', id]);
    await table.revoke(id);
    expect(named({ token })).toEqual(['unauthenticated', id]);
    expect(named({ certificate: der })).toEqual(['unauthenticated', id]);
    // The id is no secret, and a claim is no proof.
    expect(guessed).not.toBe(token);
    expect(named({ token: guessed })).toEqual(['unauthenticated', undefined]);
  });

  it('passes decisions on', async () => {
    const { door, decisions } = await keeper();
    const decision = { door: 'http', action: 'x', address: ADDRESS, allowed: true } as const;
    door.decided(decision);
    expect(decisions).toEqual([decision]);
  });
});

describe('the doorkeeper of a node', () => {
  it('knows certificates until their token is denied, or they are over', async () => {
    const { der, endsAt } = certificate();
    const timeOfDay = new StepClock();
    const grant = { ...READER, tokenId: 'aaaaaaaaaaaa' };
    const door = new NodeDoorkeeper({ grantOfCertificate: () => grant, decided: () => undefined, timeOfDay });
    const told: string[] = [];
    const end = door.onRevoked((id) => told.push(id));
    const show = () => door.whoIs({ address: ADDRESS, certificate: der });
    expect(show()).toEqual(grant);
    await expectError(() => door.whoIs({ address: ADDRESS, token: WRONG }), 'unauthenticated', 'certificate');
    door.deny(['bbbbbbbbbbbb']);
    expect(show()).toEqual(grant);
    door.deny(['bbbbbbbbbbbb', 'aaaaaaaaaaaa']);
    await expectError(show, 'unauthenticated', 'revoked');
    expect(told).toEqual(['bbbbbbbbbbbb', 'aaaaaaaaaaaa']);
    door.deny([]);
    expect(show()).toEqual(grant);
    end();
    door.deny(['aaaaaaaaaaaa']);
    expect(told).toHaveLength(2);
    door.deny([]);
    await timeOfDay.advance(endsAt - timeOfDay.now());
    await expectError(show, 'unauthenticated', 'is over');
  });
});
