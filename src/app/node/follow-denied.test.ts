import { pino } from 'pino';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { ManualClock } from '../../../test/support/manual-clock.js';
import { ScriptedStore, tokenText } from '../../../test/support/scripted-store.js';
import { grantOf, SmallPki, tokenId } from '../../../test/support/small-pki.js';
import { DenyListFollower } from './follow-denied.js';
import { isSecured, type SecuredAccess } from './secured-access.js';

/** Nothing listens on it. */
const NOWHERE = 'http://127.0.0.1:1';

let pki: SmallPki;
let stores: ScriptedStore[];
let follower: DenyListFollower | undefined;
let logged: { level: number; msg: string }[];
let denied: readonly string[];
/** All lists, in their order. */
let heard: (readonly string[])[];

beforeAll(async () => {
  pki = await SmallPki.make();
});
beforeEach(async () => {
  stores = [await ScriptedStore.start(pki, NOWHERE), await ScriptedStore.start(pki, NOWHERE)];
  logged = [];
  denied = [];
  heard = [];
});
afterEach(async () => {
  await follower?.stop();
  await Promise.all(stores.map((store) => store.close()));
});

/** Follows all stores with one token. */
function follow(clock?: ManualClock): { access: SecuredAccess; follower: DenyListFollower } {
  const token = tokenText(tokenId(1), pki.certificate);
  for (const store of stores) store.tokens.set(token, grantOf(tokenId(1), 'node'));
  const urls = stores.flatMap((store) => store.access(token).urls);
  const access = { urls, credential: { ca: pki.certificate, token } };
  if (!isSecured(access)) throw new Error('it has a credential');
  const sink = { write: (line: string) => logged.push(JSON.parse(line) as (typeof logged)[number]) };
  follower = new DenyListFollower({
    access,
    deny: (ids) => {
      denied = ids;
      heard.push(ids);
    },
    logger: pino({ level: 'info' }, sink),
    ...(clock === undefined ? {} : { clock }),
  });
  return { access, follower };
}

describe('DenyListFollower', () => {
  it('denies what the newest list denies, whichever store hands it on', async () => {
    stores[0]?.deny(tokenId(7), 2000);
    await follow().follower.started;
    await vi.waitFor(() => expect(denied).toEqual([tokenId(7)]));
    stores[1]?.deny(tokenId(8), 3000);
    await vi.waitFor(() => expect(denied).toEqual([tokenId(8)]));
    // An older one that a store tells later, or another one of the same age, brings nobody back and shuts nobody out.
    for (const version of [2999, 3000]) {
      const told = stores[0]?.told ?? 0;
      stores[0]?.deny(tokenId(9), version);
      await vi.waitFor(() => expect(stores[0]?.told).toBeGreaterThan(told));
    }
    stores[0]?.deny(tokenId(10), 3001);
    await vi.waitFor(() => expect(denied).toContain(tokenId(10)));
    const [seven, eight, nine, ten] = [7, 8, 9, 10].map(tokenId);
    expect(heard.filter((ids) => ids.length > 0)).toEqual([[seven], [eight], [seven, nine, nine, ten]]);
  });

  it('says once that a store stays behind the others, and goes by the newest list', async () => {
    const [late, good] = stores;
    if (late === undefined || good === undefined) throw new Error('there are two');
    good.deny(tokenId(7), 2000);
    await follow().follower.started;
    await vi.waitFor(() => expect([late.waiting, denied]).toEqual([1, [tokenId(7)]]));
    expect(logged).toEqual([]);
    // It answers that it has no news, as a store does after a while.
    late.deny(tokenId(8), 1000);
    await vi.waitFor(() => expect(logged).toHaveLength(1));
    expect(logged[0]?.msg).toContain('older (1000) than one that another store has told (2000)');
    expect(denied).toEqual([tokenId(7)]);
    late.deny(tokenId(8), 2000);
    await vi.waitFor(() => expect(logged[1]?.msg).toContain('tells again'), { timeout: 5_000 });
    expect(denied).toEqual([tokenId(7)]);
  });

  it('does not believe a list that somebody else has signed, and says so once', async () => {
    const [good, bad] = stores;
    if (good === undefined || bad === undefined) throw new Error('there are two');
    bad.signer = await SmallPki.make();
    bad.deny(tokenId(1), 9000);
    good.deny(tokenId(7), 2000);
    await follow().follower.started;
    await vi.waitFor(() => expect(denied).toEqual([tokenId(7)]));
    // It is asked again after a second.
    await vi.waitFor(() => expect(bad.told).toBeGreaterThan(1), { timeout: 5_000 });
    good.deny(tokenId(8), 2001);
    await vi.waitFor(() => expect(denied).toEqual([tokenId(7), tokenId(8)]));
    expect(logged).toHaveLength(1);
    expect(logged[0]?.msg).toContain('was not signed by the cluster');
  });

  it('says once that a store is away, and once that it is back', async () => {
    await follow().follower.started;
    const [store] = stores;
    if (store === undefined) throw new Error('there are two');
    store.away = true;
    store.hangUp();
    await vi.waitFor(() => expect(logged).toHaveLength(1));
    expect(logged[0]?.msg).toContain('does not tell which tokens are revoked');
    store.away = false;
    store.deny(tokenId(7));
    await vi.waitFor(() => expect(denied).toEqual([tokenId(7)]), { timeout: 5_000 });
    expect(logged[1]?.msg).toContain('tells again');
    expect(logged).toHaveLength(2);
  });

  it('asks a store that does not take its token any more only twice a minute, and says what follows', async () => {
    const clock = new ManualClock();
    const { access } = follow(clock);
    await follower?.started;
    stores[0]?.tokens.delete(access.credential.token);
    stores[0]?.hangUp();
    await vi.waitFor(() => expect(logged.map(({ level }) => level)).toContain(50));
    expect(logged.find(({ level }) => level === 50)?.msg).toContain('leaves when its certificate is over');
    expect(clock.pauses).toContain(30_000);
  });
});
