import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FIXTURES } from '../support/catalog.js';
import { startCalyx, type Ended } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { FakeHub } from '../support/fake-hub.js';
import { startStore, type RunningStore } from '../support/running-store.js';

const scratch = suiteDirectory();
const data = join(scratch, 'data');
const REPO = 'acme/rose';
let hub: FakeHub;
let store: RunningStore;
let commit: string;
let joined: string;

async function run(args: readonly string[], env: Record<string, string> = {}): Promise<Ended> {
  return startCalyx(args, {
    HF_TOKEN: '',
    HF_HOME: scratch,
    XDG_CONFIG_HOME: scratch,
    no_proxy: '*',
    NO_PROXY: '*',
    ...env,
  }).ended;
}

beforeAll(async () => {
  hub = await FakeHub.start();
  commit = hub.publish(REPO, FIXTURES.qwen3);
  store = await startStore(data, { args: ['--tls'] });
  const added = await run(['add', REPO, '--data', data], { HF_ENDPOINT: hub.url });
  expect(added.code, added.stderr).toBe(0);
  const made = await run(['token', 'create', '--role', 'read', '--name', 'reader', '--data', data, '--json']);
  expect(made.code, made.stderr).toBe(0);
  joined = (JSON.parse(made.stdout) as { join: string }).join;
});
afterAll(async () => {
  await store.stop();
  await hub.stop();
});

/** A slice fetched by who has joined the cluster. */
function fetchSlice(model: string): Promise<Ended> {
  const into = join(testDirectory(), 'slice');
  return run(['fetch', model, '--blocks', '0:1', '--into', into], { CALYX_STORE: joined });
}

describe('a model of the Hub in a cluster', () => {
  it('is fetched by its ref and by its commit, whose signature is looked at', async () => {
    const record = join(data, '.calyx', 'revisions', 'models--acme--rose', `${commit}.json`);
    const { manifest, signature } = JSON.parse(readFileSync(record, 'utf8')) as Record<string, string>;
    // The commit does not say which manifest it has.
    expect(manifest?.startsWith(commit)).toBe(false);
    for (const model of [REPO, `${REPO}@${commit}`])
      expect(await fetchSlice(model)).toMatchObject({ code: 0, stderr: '' });

    writeFileSync(record, `${JSON.stringify({ manifest })}\n`);
    const unsigned = await fetchSlice(`${REPO}@${commit}`);
    expect(unsigned.code).toBe(1);
    expect(unsigned.stderr).toContain(`${REPO}@${commit} is not signed`);
    // By the ref it is still proven.
    expect(await fetchSlice(REPO)).toMatchObject({ code: 0 });

    const forged = `${(signature ?? '').slice(0, -4)}AAAA`;
    writeFileSync(record, `${JSON.stringify({ manifest, signature: forged })}\n`);
    expect((await fetchSlice(`${REPO}@${commit}`)).stderr).toContain('has a wrong signature');

    // The next start of the store signs it again.
    await store.stop();
    store = await startStore(data, { listen: new URL(store.url).host, args: ['--tls'] });
    expect(await fetchSlice(`${REPO}@${commit}`)).toMatchObject({ code: 0, stderr: '' });
  });
});
