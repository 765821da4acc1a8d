import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { expectError } from '../../../test/support/expect-error.js';
import { testCluster } from '../../../test/support/secure-server.js';
import { StepClock } from '../../../test/support/step-clock.js';
import { readDenied, readTokens, signedStatements } from './token-statements.js';
import { TokenTable } from './token-table.js';

const READER = { name: 'laptop', role: 'read', models: 'acme/*' } as const;
const STORE = 'https://10.0.0.3:7070';

async function statements() {
  const cluster = await testCluster();
  const clock = new StepClock();
  const file = join(testDirectory(), 'tokens.json');
  const table = await TokenTable.open(file, { fingerprint: cluster.fingerprint, clock });
  onTestFinished(() => table.close());
  const sign = vi.fn((...said: Parameters<typeof cluster.sign>) => cluster.sign(...said));
  return { cluster, clock, table, sign, said: signedStatements(table, sign) };
}

describe('what a writer says of its tokens', () => {
  it('is what is listed and what is denied, as of one version', async () => {
    const { cluster, table, said } = await statements();
    const { record } = await table.create(READER);
    await table.revoke(record.id);
    const { version } = table;
    expect(readTokens(said.tokens(), cluster.ca, STORE)).toEqual({ version, tokens: table.stored() });
    expect(readDenied(said.denied(), cluster.ca, STORE)).toEqual({ version, denied: [record.id] });
  });

  it('is signed once, however many ask, and stays the same until the version is another', async () => {
    const { clock, table, sign, said } = await statements();
    await table.create({ ...READER, expiresInMs: 1000 });
    const before = said.denied();
    for (let n = 0; n < 100; n += 1) expect(said.denied()).toBe(before);
    expect(sign).toHaveBeenCalledTimes(1);
    await clock.advance(1000);
    expect(said.denied().statement).not.toBe(before.statement);
    expect(sign).toHaveBeenCalledTimes(2);
    // What is denied for long enough is so until there is other news, too.
    await clock.advance(26 * 3_600_000);
    expect(sign).toHaveBeenCalledTimes(2);
    expect(JSON.parse(said.denied().statement)).toMatchObject({ version: table.version });
  });

  it('counts only if the cluster has signed it, and is not looked at before', async () => {
    const { cluster, said } = await statements();
    const other = await testCluster();
    const wrong = other.sign('tokens', 'no JSON at all');
    const error = await expectError(
      () => readTokens(wrong, cluster.ca, STORE),
      'corrupt',
      STORE,
      'not signed by',
    );
    expect(error.message).not.toContain('JSON');
    await expectError(() => readTokens(said.denied(), cluster.ca, STORE), 'corrupt');
    await expectError(() => readDenied(said.tokens(), cluster.ca, STORE), 'corrupt');
  });

  it.each([
    ['no JSON', '{'],
    ['no version', '{"tokens":[]}'],
    ['a version that is none', '{"version":-1,"tokens":[]}'],
    ['a token without a role', `{"version":1,"tokens":[{"id":"0123456789ab","sha256":"${'5'.repeat(64)}"}]}`],
  ])('says what to do if its form is not known (%s), and quotes nothing', async (_what, text) => {
    const { cluster } = await statements();
    const signed = cluster.sign('tokens', text);
    const error = await expectError(() => readTokens(signed, cluster.ca, STORE), 'unavailable', 'versions');
    expect(error.message).not.toContain('5555');
  });
});
