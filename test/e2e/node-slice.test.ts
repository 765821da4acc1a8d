import { cpSync, existsSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openSlice, type OpenedSlice } from '../../src/app/node/open-slice.js';
import { fixture, readGolden } from '../inference/model-files.js';
import { calyx, calyxJson, startCalyx } from '../support/cli.js';
import { suiteDirectory, testDirectory } from '../support/directories.js';
import { startStore, type RunningStore } from '../support/running-store.js';
import { snapshot } from '../support/slices.js';

const TIED = fixture('qwen2-tied');
const scratch = suiteDirectory();
const data = join(scratch, 'data');
let store: RunningStore;
let revision: string;
/** All of the model, as `calyx fetch` writes it. */
let whole: string;

beforeAll(async () => {
  store = await startStore(data);
  const added = await calyxJson('add', TIED, '--name', 'acme/tied', '--data', data);
  revision = added['revision'] as string;
  whole = await fetchSlice('0:5', '--embed', '--head');
});
afterAll(async () => {
  await store.stop();
});

/** Fetches a slice into a directory of its own. */
async function fetchSlice(blocks: string, ...args: string[]): Promise<string> {
  const into = join(scratch, [blocks.replace(':', '-'), ...args].join(''));
  await calyxJson('fetch', 'acme/tied', '--store', store.url, '--into', into, '--blocks', blocks, ...args);
  return into;
}

/** A copy that a test may change. */
function copyOf(slice: string): string {
  const copy = join(testDirectory(), 'slice');
  cpSync(slice, copy, { recursive: true });
  return copy;
}

function open(directory: string): Promise<OpenedSlice> {
  const logger = pino({ level: 'silent' });
  const signal = AbortSignal.timeout(30_000);
  return openSlice(directory, {
    stores: { urls: [new URL(store.url)], credential: undefined },
    logger,
    signal,
  });
}

/** Starts `calyx node --slice` and waits until it serves. */
async function startNode(name: string, slice: string, env: Readonly<Record<string, string>>): Promise<void> {
  const node = startCalyx(['node', '--slice', slice, '--name', name, '--store', store.url, '--json'], env);
  onTestFinished(async () => {
    node.child.kill('SIGTERM');
    expect((await node.ended).code).toBe(0);
  });
  await new Promise<void>((resolve, reject) => {
    let all = '';
    node.child.stdout?.on('data', (piece: string) => {
      all += piece;
      if (all.includes('"event":"listening"')) resolve();
    });
    node.ended.then((ended) => reject(new Error(JSON.stringify(ended))), reject);
  });
}

describe('calyx node --slice', () => {
  it('runs the blocks of slices from where they are, and writes nothing', async () => {
    const slices = [await fetchSlice('0:3', '--embed'), await fetchSlice('3:5', '--head')];
    const before = await Promise.all(slices.map(snapshot));
    const nodeData = join(scratch, 'node-data');
    await Promise.all(slices.map((slice, i) => startNode(`n${i}`, slice, { CALYX_NODE_DATA: nodeData })));
    const [golden] = readGolden(TIED).cases;
    const ids = (golden?.prompt as number[]).join(',');
    const count = String(golden?.greedy.length);
    const result = await calyxJson(
      ...['run', 'acme/tied', '--tokens', ids, '--max-tokens', count, '--store', store.url],
    );
    const tokens = result['tokens'] as number[];
    expect(tokens.length).toBeGreaterThan(1);
    expect(golden?.greedy.slice(0, tokens.length)).toEqual(tokens);
    expect(result['route']).toMatchObject([{ blocks: '0:3' }, { blocks: '3:5' }]);
    expect(existsSync(nodeData)).toBe(false);
    expect(await Promise.all(slices.map(snapshot))).toEqual(before);
  });

  it.each([
    [['--slice', '/s', '--blocks', '0:4'], '--blocks does not go with --slice'],
    [['--slice', '/s', '--model', 'a/b'], '--model does not go with --slice'],
    [['--slice', '/s', '--data', '/d'], '--data does not go with --slice'],
    [['--slice', '/s', '--budget', '1G'], '--budget does not go with --slice'],
    [['--slice', ''], '--slice names no directory'],
    [['--blocks', '0:4'], '--model is missing'],
    [['--model', 'a/b'], '--blocks is missing'],
  ])('refuses %j', async (args, message) => {
    const { code, stderr } = await calyx('node', ...args);
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });
});

describe('opening a slice', () => {
  it('finds out what it is', async () => {
    expect(await open(whole)).toMatchObject({
      model: 'acme/tied',
      revision,
      blocks: { start: 0, end: 5 },
      embed: true,
      head: true,
      bytesOnDisk: 0,
    });
    expect(await open(await fetchSlice('1:3'))).toMatchObject({
      blocks: { start: 1, end: 3 },
      embed: false,
      head: false,
    });
  });

  it('takes no notice of parts that the blocks do not need', async () => {
    expect(await open(await fetchSlice('1:2', '--embed', '--head'))).toMatchObject({
      embed: false,
      head: false,
    });
  });

  it.each<[string, (slice: string) => void, string]>([
    [
      'a part is missing',
      (slice) => rmSync(join(slice, 'block-00002.safetensors')),
      '00002.safetensors is missing',
    ],
    [
      'a part is cut off',
      (slice) => truncateSync(join(slice, 'head.safetensors'), 1000),
      'has 1000 bytes instead of',
    ],
    [
      'a byte of a tensor differs',
      (slice) => flip(join(slice, 'block-00004.safetensors'), -1),
      'is damaged, or cannot be read, at byte',
    ],
    [
      'a byte of a header differs',
      (slice) => flip(join(slice, 'embed.safetensors'), 20),
      'is damaged, or cannot be read, at byte 0',
    ],
    ['config.json differs', (slice) => flip(join(slice, 'config.json'), -2), 'config.json differs'],
    ['it counts other blocks', (slice) => describeAs(slice, { blockCount: 6 }), 'counts 6 blocks'],
  ])('refuses it as corrupt if %s', async (_, change, message) => {
    const slice = copyOf(whole);
    change(slice);
    const opened = open(slice);
    await expect(opened).rejects.toMatchObject({ code: 'corrupt' });
    await expect(opened).rejects.toThrow(`that it says it is: `);
    await expect(opened).rejects.toThrow(message);
  });

  it.each<[string, (slice: string) => void, string, string]>([
    ['no description', (slice) => rmSync(join(slice, 'slice.json')), 'not-found', 'is no slice'],
    [
      'a description that is cut off',
      (slice) => truncateSync(join(slice, 'slice.json'), 30),
      'invalid-model',
      'is not JSON',
    ],
    [
      'a description of something else',
      (slice) => describeAs(slice, { format: 'x' }),
      'invalid-model',
      'does not describe a slice',
    ],
    [
      'a part of another name',
      (slice) => describeAs(slice, { parts: [{ file: '../x', size: 1 }] }),
      'invalid-model',
      'names parts that no slice has',
    ],
    [
      'a model that no store has',
      (slice) => describeAs(slice, { model: 'acme/other' }),
      'not-found',
      'acme/other',
    ],
    ['a name that is none', (slice) => describeAs(slice, { model: '../..' }), 'usage', 'is not a model name'],
    ['no blocks', (slice) => keepParts(slice, 'embed', 'head'), 'usage', 'it holds no blocks'],
    ['a gap', (slice) => keepParts(slice, 'embed', 'block-00000', 'block-00003'), 'usage', 'a gap at 1:3'],
    [
      'no embeddings',
      (slice) => keepParts(slice, 'block-00000'),
      'usage',
      "the part 'embed', which it lacks",
    ],
    ['no head', (slice) => keepParts(slice, 'block-00004'), 'usage', "the part 'head', which it lacks"],
  ])('refuses %s', async (_, change, code, message) => {
    const slice = copyOf(whole);
    change(slice);
    const opened = open(slice);
    await expect(opened).rejects.toMatchObject({ code });
    await expect(opened).rejects.toThrow(message);
  });

  it('says what it waits for, as on a mount whose server is away', async () => {
    const slice = copyOf(whole);
    const path = join(slice, 'slice.json');
    const description = readFileSync(path);
    rmSync(path);
    execFileSync('mkfifo', [path]);
    const warned: string[] = [];
    let opened: Promise<OpenedSlice> | undefined;
    const told = new Promise<void>((resolve) => {
      const write = (line: string): void => {
        warned.push(line);
        resolve();
      };
      const logger = pino({ level: 'warn' }, { write });
      const signal = AbortSignal.timeout(30_000);
      opened = openSlice(slice, {
        stores: { urls: [new URL(store.url)], credential: undefined },
        logger,
        signal,
        silenceMs: 50,
      });
    });
    await told;
    expect(warned[0]).toContain(`nothing was read of ${slice} for 0.05 s`);
    await writeFile(path, description);
    expect(await opened).toMatchObject({ blocks: { start: 0, end: 5 } });
  });

  it('notices that the directory became another revision while the blocks were loaded', async () => {
    const link = join(testDirectory(), 'current');
    symlinkSync(whole, link);
    const opened = await open(link);
    await opened.checkSame();
    const next = copyOf(whole);
    describeAs(next, { revision: '0'.repeat(40) });
    rmSync(link);
    symlinkSync(next, link);
    await expect(opened.checkSame()).rejects.toMatchObject({
      code: 'changed',
      hint: `name the revision in the path: acme/tied@${revision}`,
    });
  });
});

/** Changes one byte of a file; a negative position counts from its end. */
function flip(path: string, position: number): void {
  const bytes = readFileSync(path);
  const at = position < 0 ? bytes.length + position : position;
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  writeFileSync(path, bytes);
}

function describeAs(slice: string, changes: object): void {
  const path = join(slice, 'slice.json');
  writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...changes }));
}

function keepParts(slice: string, ...parts: string[]): void {
  describeAs(slice, { parts: parts.map((part) => ({ file: `${part}.safetensors`, size: 1 })) });
}
