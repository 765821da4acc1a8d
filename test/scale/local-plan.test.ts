import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCalyx, runCalyxJson, startStore, type Server } from '../../bench/support/processes.js';
import { isLocalModel } from '../../src/app/fetch/plan-local.js';
import { MODELS } from './models.js';

let directory: string;
let store: (Server & { readonly url: string }) | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'calyx-plan-'));
  await runCalyxJson(['add', MODELS.qwen3, '--name', 'test/qwen3', '--data', join(directory, 'data')]);
  store = await startStore(join(directory, 'data'));
});

afterAll(async () => {
  await store?.stop();
  await rm(directory, { recursive: true, force: true });
});

test('headers alone give the plan that a store gives', async () => {
  const into = join(directory, 'slice');
  const asked = ['--blocks', '1:3', '--embed', '--dry-run'];
  const planned = await runCalyxJson(['fetch', MODELS.qwen3, ...asked, '--into', into]);
  const stored = await runCalyxJson([
    'fetch',
    'test/qwen3',
    ...asked,
    '--into',
    into,
    '--store',
    store?.url ?? '',
  ]);
  const { bytesNeeded } = stored.json as { bytesNeeded: number };
  expect(planned.json).toMatchObject({ bytesNeeded, blocks: '1:3', embed: true, head: false, dryRun: true });
});

test.each([
  ['without --dry-run', ['--blocks', '0:1', '--into', 'x'], /calyx add \S+qwen3 --name ORG\/NAME/, 2],
  ['with a store', ['--blocks', '0:1', '--dry-run', '--store', 'http://127.0.0.1:1'], /--store/, 2],
  ['with blocks to drop', ['--drop', '0:1', '--dry-run'], /--drop/, 2],
  ['past the last block', ['--blocks', '0:99', '--dry-run'], /the model has \d+ blocks/, 2],
  ['over the budget', ['--blocks', '0:1', '--dry-run', '--budget', '10'], /more than the budget of 10 B/, 1],
])('a model directory %s is an error that says what to do', async (_, options, message, exitCode) => {
  const ended = await runCalyx(['fetch', MODELS.qwen3, ...options]);
  expect(ended.stderr).toMatch(message);
  expect(ended.exitCode).toBe(exitCode);
});

test('a model of a store needs --into', async () => {
  const ended = await runCalyx(['fetch', 'test/qwen3', '--blocks', '0:1', '--store', store?.url ?? '']);
  expect(ended.stderr).toContain('--into DIRECTORY');
  expect(ended.exitCode).toBe(2);
});

test('paths and existing directories are local; what has the form of a model name never is', () => {
  // Tests run in the checkout: test/scale and src exist there.
  const local = ['/a', './a', '../a', '.', '..', './', 'src', 'test/fixtures/models'];
  expect(local.filter((text) => !isLocalModel(text))).toEqual([]);
  const names = ['test/scale', 'org/name', 'org/name@main', 'missing', 'missing/a/b'];
  expect(names.filter(isLocalModel)).toEqual([]);
});
