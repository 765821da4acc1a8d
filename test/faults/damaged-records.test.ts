import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { testDirectory } from '../support/directories.js';
import { copyOfFixture, FIXTURES } from '../support/catalog.js';
import { startStore } from '../support/running-store.js';

interface Verified {
  readonly ok: boolean;
  readonly models: readonly { model: string; revision: string; findings: { problem: string }[] }[];
}

async function add(data: string, source: string, name: string): Promise<string> {
  return String((await calyxJson('add', source, '--name', name, '--data', data))['revision']);
}

async function verify(data: string): Promise<{ code: number | null; answer: Verified }> {
  const { code, stdout } = await calyx('verify', '--data', data, '--json');
  return { code, answer: JSON.parse(stdout) as Verified };
}

it('one damaged ref costs the other models nothing', async () => {
  const data = join(testDirectory(), 'data');
  const revision = await add(data, FIXTURES.qwen3, 'org/bad');
  await add(data, FIXTURES['qwen2-tied'], 'org/good');
  await writeFile(join(data, '.calyx/refs/models--org--bad/main.json'), 'garbage');
  const store = await startStore(data);
  onTestFinished(async () => {
    await store.stop();
  });
  const answer = (await (await fetch(`${store.url}/v1/models`)).json()) as { models: { name: string }[] };
  expect(answer.models.map(({ name }) => name)).toEqual(['org/good']);
  expect((await fetch(`${store.url}/tree/models/org/bad@${revision}/config.json`)).status).toBe(200);

  const listed = await calyx('list', '--data', data);
  expect(listed.code).toBe(0);
  expect(listed.stdout).toMatch(/org\/bad .*\(damaged\)/);
  expect(listed.stdout).toContain('org/good');
  const { models } = (await calyxJson('list', '--data', data)) as { models: Record<string, unknown>[] };
  expect(models[0]).toEqual({
    model: 'org/bad',
    error: expect.stringContaining('models--org--bad/main.json') as unknown,
  });
  expect(models[1]).toMatchObject({ model: 'org/good', blocks: 5 });
});

it('verify reports a damaged record and a damaged manifest beside the findings of other models', async () => {
  const data = join(testDirectory(), 'data');
  await add(data, FIXTURES.qwen3, 'org/a');
  await add(data, FIXTURES['qwen2-tied'], 'org/b');
  const revision = await add(data, FIXTURES['mistral-f32'], 'org/c');
  await writeFile(join(data, '.calyx/refs/models--org--a/main.json'), 'garbage');
  const ref = await readFile(join(data, '.calyx/refs/models--org--b/main.json'), 'utf8');
  const { manifest } = JSON.parse(ref) as { manifest: string };
  await writeFile(join(data, '.calyx/manifests', `${manifest}.json`), 'garbage');
  await writeFile(join(data, 'models--org--c/snapshots', revision, 'config.json'), 'garbage');
  const { code, answer } = await verify(data);
  expect(code).toBe(1);
  const problems = answer.models.map(({ model, findings }) => [model, findings[0]?.problem]);
  expect(problems).toEqual(
    expect.arrayContaining([
      ['org/a', expect.stringContaining('is not a record')],
      // The revision itself is whole.
      ['org/a', undefined],
      ['org/b', expect.stringContaining('does not match its SHA-256')],
      ['org/c', expect.stringContaining('instead of')],
    ]),
  );
});

it('verify reads older revisions too', async () => {
  const data = join(testDirectory(), 'data');
  const source = copyOfFixture('qwen3');
  const older = await add(data, source, 'org/a');
  await writeFile(join(source, 'config.json'), `${await readFile(join(source, 'config.json'), 'utf8')}\n`);
  const newer = await add(data, source, 'org/a');
  expect((await verify(data)).answer.models.map(({ revision }) => revision)).toEqual([newer, older]);
  await writeFile(join(data, 'models--org--a/snapshots', older, 'config.json'), 'garbage');
  const { code, answer } = await verify(data);
  expect(code).toBe(1);
  expect(answer.models.map(({ findings }) => findings.length > 0)).toEqual([false, true]);
});
