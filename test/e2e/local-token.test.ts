import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseToken } from '../../src/core/cluster-token.js';
import { calyx, calyxJson } from '../support/cli.js';
import { testDirectory } from '../support/directories.js';
import { RealCluster } from '../support/real-cluster.js';

it('the token of the machine is replaced when it is revoked: the old one opens nothing, commands go on', async () => {
  const data = join(testDirectory(), 'data');
  const cluster = await RealCluster.start(data);
  try {
    const file = join(data, '.calyx/cluster/local-token');
    const before = (await readFile(file, 'utf8')).trim();
    const id = parseToken(before)?.id ?? '';
    expect(await cluster.ask({ path: '/v1/whoami', token: before })).toMatchObject({ status: 200 });
    expect(await calyx('token', 'revoke', id, '--data', data)).toMatchObject({ code: 0 });
    expect(await cluster.ask({ path: '/v1/whoami', token: before })).toMatchObject({ status: 401 });
    const after = (await readFile(file, 'utf8')).trim();
    expect(after).not.toBe(before);
    expect(await cluster.ask({ path: '/v1/tokens', token: after })).toMatchObject({ status: 200 });
    const made = await calyxJson('token', 'create', '--role', 'read', '--data', data);
    expect(await calyx('token', 'revoke', String(made['id']), '--data', data)).toMatchObject({ code: 0 });
    // Neither that nor anything else has made another one.
    expect((await readFile(file, 'utf8')).trim()).toBe(after);
  } finally {
    await cluster.store.stop();
  }
});
