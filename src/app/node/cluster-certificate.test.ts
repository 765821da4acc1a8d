import { X509Certificate } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { expectError } from '../../../test/support/expect-error.js';
import { ScriptedStore, tokenText } from '../../../test/support/scripted-store.js';
import { grantOf, SmallPki, tokenId, type Says } from '../../../test/support/small-pki.js';
import { ClusterCertificate } from './cluster-certificate.js';
import { isSecured } from './secured-access.js';

const never = new AbortController().signal;
let pki: SmallPki;
let store: ScriptedStore;
let certificate: ClusterCertificate | undefined;
let logged: string[];

beforeAll(async () => {
  pki = await SmallPki.make();
  store = await ScriptedStore.start(pki, 'http://127.0.0.1:1');
});
afterEach(async () => {
  store.away = false;
  await certificate?.close();
  certificate = undefined;
});
afterAll(async () => {
  await store.close();
});

/** Obtains one that says what it should not, or should. */
async function obtain(more: Says = {}): Promise<ClusterCertificate> {
  const token = tokenText(tokenId(1), pki.certificate);
  store.tokens.set(token, { ...grantOf(tokenId(1), 'node', 'acme/*', 'n'), ...more });
  const access = store.access(token);
  if (!isSecured(access)) throw new Error('it has a credential');
  logged = [];
  const sink = { write: (line: string) => logged.push((JSON.parse(line) as { msg: string }).msg) };
  const options = { logger: pino({}, sink), random: () => 0 };
  return (certificate = await ClusterCertificate.obtain(access, never, options));
}

describe('ClusterCertificate', () => {
  it('has a key of its own, which the store has never seen, and says who holds it', async () => {
    const { tls, grant } = await obtain();
    expect(grant).toEqual({ tokenId: tokenId(1), name: 'n', role: 'node', models: 'acme/*' });
    const shown = new X509Certificate(tls.certificate);
    expect(shown.verify(new X509Certificate(pki.certificate).publicKey)).toBe(true);
    expect(tls.ca).toBe(pki.certificate);
  });

  it.each<[string, Says]>([
    ['the clocks differ', { from: 60_000 }],
    ['the clocks differ', { from: -7_200_000, to: -60_000 }],
    ['of no use', { uri: 'calyx://grant/none' }],
  ])('is not taken if %s', async (says, more) => {
    await expectError(() => obtain(more), 'unavailable', says);
  });

  it('is not for a token that is revoked', async () => {
    const token = tokenText(tokenId(2), pki.certificate);
    const access = store.access(token);
    if (!isSecured(access)) throw new Error('it has a credential');
    await expectError(() => ClusterCertificate.obtain(access, never), 'unauthenticated');
  });

  it('is not asked for from a store of another cluster', async () => {
    const token = tokenText(tokenId(3), pki.certificate);
    store.tokens.set(token, grantOf(tokenId(3), 'node'));
    const { urls } = store.access(token);
    const issued = store.issued;
    const credential = { ca: (await SmallPki.make()).certificate, token };
    await expect(ClusterCertificate.obtain({ urls, credential }, never)).rejects.toThrow(urls[0]?.host);
    expect(store.issued).toBe(issued);
  });

  it('is asked for again, with pauses, while no store answers, and says so', async () => {
    const own = await obtain({ to: 6_000 });
    const before = own.tls;
    const renewed = new Promise((resolve) => own.onRenewed(resolve));
    store.away = true;
    store.hangUp();
    await vi.waitFor(() => expect(logged).toHaveLength(1), { timeout: 6_000 });
    expect(logged[0]).toMatch(/could not be renewed, and is over at \d{4}-/);
    store.away = false;
    expect(await renewed).toBe(own.tls);
    expect(own.tls.key).not.toBe(before.key);
  }, 15_000);
});
