import { mkdir, open, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { calyx, calyxJson } from '../support/cli.js';
import { TINY } from '../support/models.js';
import { noPython, sha256sum, type PythonTensor } from '../support/outside-tools.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

const scratch = suiteDirectory();
const TENSOR = 'model.layers.7.mlp.up_proj.weight';
let good: RunningStore;
let bad: RunningStore;
let source: Record<string, PythonTensor>;
/** The file and the place of a byte of {@link TENSOR}. */
let shard: string;
let place: number;

beforeAll(async () => {
  for (const name of ['good', 'bad'])
    await calyxJson('add', TINY, '--name', 'org/tiny', '--data', join(scratch, name));
  if (noPython === undefined) source = await tensorsOf(TINY);
  const index = JSON.parse(await readFile(join(TINY, 'model.safetensors.index.json'), 'utf8')) as {
    weight_map: Record<string, string>;
  };
  shard = index.weight_map[TENSOR] ?? '';
  const bytes = await readFile(join(TINY, shard));
  const header = 8 + Number(bytes.readBigUInt64LE());
  const tensors = JSON.parse(bytes.toString('utf8', 8, header)) as Record<
    string,
    { data_offsets: [number, number] }
  >;
  place = header + (tensors[TENSOR]?.data_offsets[0] ?? 0) + 1000;
  const digest = (await sha256sum([join(TINY, shard)]))[join(TINY, shard)] ?? '';
  await flip(join(scratch, 'bad', 'models--org--tiny', 'blobs', digest), place);
  good = await startStore(join(scratch, 'good'));
  bad = await startStore(join(scratch, 'bad'));
  return async () => {
    await good.stop();
    await bad.stop();
  };
});

async function flip(path: string, position: number): Promise<void> {
  const file = await open(path, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, position);
  byte[0] = (byte[0] ?? 0) ^ 0x10;
  await file.write(byte, 0, 1, position);
  await file.close();
}

const fetchArgs = (into: string, store: string, ...more: string[]) => [
  ...['fetch', 'org/tiny', '--into', join(scratch, into), '--store', store],
  ...more,
];

describe.skipIf(noPython)('a byte that is wrong on the store', () => {
  it('fails the fetch, naming file, tensor and source, and never becomes visible', async () => {
    const ended = await calyx(...fetchArgs('from-bad', bad.url, '--blocks', '6:9'), '--json');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    for (const name of [shard, TENSOR, bad.url]) expect(ended.stderr).toContain(name);
    expect(ended.stderr).toContain("'calyx verify'");
    expect(ended.stderr).not.toMatch(/\bat .*\.js:/);
    const into = join(scratch, 'from-bad');
    const names = await readdir(into);
    expect(names).not.toContain('block-00007.safetensors');
    expect(names).not.toContain('model.safetensors.index.json');
    const shown = await tensorsOf(into);
    for (const [name, tensor] of Object.entries(shown)) expect(tensor).toEqual(source[name]);
    // Blocks that the byte is not in can be had.
    await calyxJson(...fetchArgs('elsewhere', bad.url, '--blocks', '0:6'));
    await expectSlice(join(scratch, 'elsewhere'), source, { blocks: [0, 1, 2, 3, 4, 5] });
  });

  it('is passed over when a second store has it right', async () => {
    const into = 'from-both';
    const ended = await calyx(...fetchArgs(into, `${bad.url},${good.url}`, '--blocks', '6:9'), '--json');
    expect(ended).toMatchObject({ code: 0, stderr: '' });
    const result = JSON.parse(ended.stdout) as Record<string, number>;
    expect(result['retries']).toBeGreaterThan(0);
    // What came wrong was moved too.
    expect(result['bytesFetched']).toBeGreaterThan(result['bytesNeeded'] ?? Infinity);
    await expectSlice(join(scratch, into), source, { blocks: [6, 7, 8] });
  });

  it('does not lose what came before: another store completes the slice', async () => {
    expect((await calyx(...fetchArgs('later', bad.url, '--blocks', '0:12'))).code).toBe(1);
    const planned = await calyxJson(...fetchArgs('later', good.url, '--blocks', '0:12', '--dry-run'));
    const result = await calyxJson(...fetchArgs('later', good.url, '--blocks', '0:12'));
    expect(result['bytesFetched']).toBe(planned['bytesFetched']);
    expect(result['bytesFetched']).toBeLessThan(Number(result['bytesNeeded']));
    await expectSlice(join(scratch, 'later'), source, { blocks: Array.from({ length: 12 }, (_, b) => b) });
  });
});

describe.skipIf(noPython)('a byte that is wrong on the disk of the node', () => {
  it('in a finished part: only its chunk comes again', async () => {
    const into = join(scratch, 'rotten');
    await calyxJson(...fetchArgs('rotten', good.url, '--blocks', '6:9'));
    await flip(join(into, 'block-00007.safetensors'), 700_000);
    const before = await egress(good.url);
    const result = await calyxJson(...fetchArgs('rotten', good.url, '--blocks', '6:9'));
    expect(result['chunks']).toBe(1);
    expect((await egress(good.url)) - before).toBe(result['bytesFetched']);
    expect(result['bytesFetched']).toBeLessThan(300_000);
    await expectSlice(into, source, { blocks: [6, 7, 8] });
  });

  it.each([
    ['cut off', async (path: string) => writeFile(path, (await readFile(path)).subarray(0, 400_000))],
    [
      'longer',
      async (path: string) => writeFile(path, Buffer.concat([await readFile(path), Buffer.alloc(9)])),
    ],
    ['empty', async (path: string) => writeFile(path, '')],
    ['gone', async (path: string) => rm(path)],
    ['wrong in its header', async (path: string) => flip(path, 20)],
  ])('a part that is %s is mended', async (what, damage) => {
    const name = `part-${what.replaceAll(' ', '-')}`;
    const into = join(scratch, name);
    await calyxJson(...fetchArgs(name, good.url, '--blocks', '6:8'));
    await damage(join(into, 'block-00006.safetensors'));
    const inode = (await stat(join(into, 'block-00007.safetensors'))).ino;
    const more = what === 'gone' ? ['--blocks', '6:7'] : ['--blocks', '7:8'];
    await calyxJson(...fetchArgs(name, good.url, ...more));
    await expectSlice(into, source, { blocks: [6, 7] });
    expect((await stat(join(into, 'block-00007.safetensors'))).ino).toBe(inode);
  });

  it('that no store can mend: the part leaves the index before it leaves the directory', async () => {
    const into = join(scratch, 'beyond-repair');
    await calyxJson(...fetchArgs('beyond-repair', good.url, '--blocks', '6:9'));
    await writeFile(join(into, 'block-00007.safetensors'), 'rotten');
    expect((await calyx(...fetchArgs('beyond-repair', bad.url, '--blocks', '6:9'))).code).toBe(1);
    await expectSlice(into, source, { blocks: [6, 8] });
    await calyxJson(...fetchArgs('beyond-repair', good.url, '--blocks', '7:8'));
    await expectSlice(into, source, { blocks: [6, 7, 8] });
  });

  it('in a file under way: only its chunk comes again', async () => {
    const into = join(scratch, 'partial');
    const whole = await calyxJson(...fetchArgs('partial', good.url, '--blocks', '7:8'));
    // As a kill leaves it: under another name, with a journal of the chunks that came in, 4 bytes little-endian each.
    const partial = join(into, '.calyx', 'partial', 'block-00007.safetensors');
    await mkdir(dirname(partial));
    await rename(join(into, 'block-00007.safetensors'), partial);
    const support = ['config.json', 'generation_config.json', 'tokenizer.json', 'tokenizer_config.json'];
    const count = Number(whole['chunks']) - support.length - 1;
    await writeFile(
      `${partial}.journal`,
      Buffer.from(Uint32Array.from({ length: count }, (_, i) => i).buffer),
    );
    await rm(join(into, 'slice.json'));
    await flip(partial, 700_000);
    const before = await egress(good.url);
    const result = await calyxJson(...fetchArgs('partial', good.url, '--blocks', '7:8'));
    expect(result['chunks']).toBe(1);
    expect((await egress(good.url)) - before).toBe(result['bytesFetched']);
    await expectSlice(into, source, { blocks: [7] });
  });
});

describe('two fetches into one directory', () => {
  it('one of them is refused or waits, and the slice is right', async () => {
    const args = fetchArgs('contended', good.url, '--blocks', '0:3');
    const both = await Promise.all([calyx(...args), calyx(...args)]);
    const codes = both.map(({ code }) => code).sort();
    expect(codes[0]).toBe(0);
    const refused = both.find(({ code }) => code !== 0);
    if (refused !== undefined) expect(refused.stderr).toMatch(/is in use by/);
    if (noPython === undefined) await expectSlice(join(scratch, 'contended'), source, { blocks: [0, 1, 2] });
  });
});
