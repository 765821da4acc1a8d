import { mkdir, open, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { ggmlTypeNamed } from '../../src/weights/gguf/ggml-type.js';
import { readGolden } from '../inference/model-files.js';
import { calyx, calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import {
  convertToGguf,
  generateWithLlamaCpp,
  loadWithGgml,
  publicTypes,
  readGguf,
  writeGguf,
  type RandomGguf,
  type ReadGguf,
} from '../support/gguf-files.js';
import { TINY } from '../support/models.js';
import { findPython, GGUF, ggufPython } from '../support/python-engines.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';

// Importing numpy and llama.cpp takes seconds on a busy machine.
const SLOW = { timeout: 120_000 };

const MODELS: readonly (RandomGguf & { readonly name: string; readonly files: readonly string[] })[] = [
  { name: 'mixed', blocks: 3, types: ['Q8_0', 'Q4_0', 'Q6_K', 'F32', 'BF16', 'IQ4_XS', 'F16', 'Q5_K'], files: ['mixed.gguf'] },
  { name: 'tied', blocks: 4, types: ['Q4_K', 'Q5_1', 'TQ1_0', 'MXFP4', 'F64', 'I8'], tied: true, rope: true, files: ['tied.gguf'] },
  { name: 'aligned', blocks: 2, types: ['Q2_K', 'Q4_1', 'Q3_K', 'IQ1_S'], alignment: 256, files: ['aligned.gguf'] },
  { name: 'split', blocks: 3, types: ['Q8_0', 'F32'], rope: true, tensors_per_file: 4, files: [1, 2, 3, 4].map((file) => `split-0000${file}-of-00004.gguf`) },
]; // prettier-ignore

const scratch = suiteDirectory();
const sources = join(scratch, 'sources');
const tiny = join(sources, 'tiny', 'tiny-F32.gguf');
const data = join(scratch, 'data');
let store: RunningStore;

const pathOf = ({ files: [first = ''] }: { readonly files: readonly string[] }): string =>
  join(sources, first);

beforeAll(async () => {
  await mkdir(join(sources, 'tiny'), { recursive: true });
  const found = findPython(GGUF);
  if ('python' in found) {
    for (const model of MODELS) {
      await writeGguf(found.python, join(sources, `${model.name}.gguf`), model);
      await calyxJson('add', pathOf(model), '--name', `org/${model.name}`, '--data', data);
    }
    await convertToGguf(found.python, TINY, tiny);
    for (const name of ['config.json', 'tokenizer.json'])
      await writeFile(join(sources, 'tiny', name), await readFile(join(TINY, name)));
    await calyxJson('add', join(sources, 'tiny'), '--name', 'org/tiny', '--data', data);
  }
  store = await startStore(data);
  return async () => {
    await store.stop();
  };
}, SLOW.timeout);

/** What the tensors of a model are, told from the names. */
function isIn(name: string, part: number | 'embed' | 'head', model: RandomGguf): boolean {
  if (name === 'rope_freqs.weight') return typeof part === 'number';
  if (name.startsWith('blk.')) return name.startsWith(`blk.${part}.`);
  if (name === 'token_embd.weight') return part === 'embed' || (part === 'head' && model.tied === true);
  return part === 'head';
}

/** All tensors of a model without their places, and its fields. */
function together(files: readonly ReadGguf[]): Pick<ReadGguf, 'fields' | 'tensors'> {
  return {
    fields: files[0]?.fields ?? {},
    tensors: Object.assign({}, ...files.map(({ tensors }) => tensors)) as ReadGguf['tensors'],
  };
}

const content = (tensors: ReadGguf['tensors']) =>
  Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype, shape, length, sha256 }]) => [name, { dtype, shape, length, sha256 }]),
  ); // prettier-ignore

const withoutSplit = (fields: ReadGguf['fields']) =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !name.startsWith('split.')));

const partName = (part: number | 'embed' | 'head'): string =>
  typeof part === 'number' ? `block-0000${part}.gguf` : `${part}.gguf`;

const shown = async (path: string): Promise<Buffer> => {
  const answer = await fetch(`${store.url}/tree/${path}`);
  expect(answer.status, path).toBe(200);
  return Buffer.from(await answer.arrayBuffer());
};

const entriesOf = async (path: string): Promise<string[]> =>
  (JSON.parse((await shown(path)).toString()) as { entries: string[] }).entries;

it('sizes of types are those of the public package', SLOW, async (context) => {
  const types = await publicTypes(ggufPython(context));
  for (const [name, [id, elements, bytes]] of Object.entries(types)) {
    // Exists in memory only, and has another size in ggml.
    if (name === 'Q8_1') continue;
    expect(ggmlTypeNamed(name), name).toEqual({ id, type: { name, elements, bytes } });
  }
});

describe.each(MODELS)('the model $name', SLOW, (model) => {
  const { name, blocks, files } = model;
  const parts = ['embed' as const, ...Array.from({ length: blocks }, (_, block) => block), 'head' as const];
  const everything = `0-${blocks}+embed+head`;

  const source = async (context: TestContext): Promise<ReadGguf[]> =>
    readGguf(ggufPython(context), ...files.map((file) => join(sources, file)));

  it('is inspected as the public package reads it', async (context) => {
    const read = await source(context);
    const inspected = (await calyxJson('inspect', pathOf(model))) as unknown as {
      format: string;
      blocks: number;
      parts: {
        file: string;
        bytes: number;
        tensors: {
          name: string;
          dtype: string;
          shape: number[];
          file: string;
          offset: number;
          length: number;
        }[];
      }[];
    };
    expect([inspected.format, inspected.blocks]).toEqual(['gguf', blocks]);
    expect(inspected.parts.map(({ file }) => file)).toEqual(parts.map(partName));
    for (const [index, part] of parts.entries()) {
      const expected = read.flatMap(({ tensors }, file) =>
        Object.entries(tensors)
          .filter(([tensor]) => isIn(tensor, part, model))
          .map(([tensor, { dtype, shape, offset, length }]) => ({
            name: tensor,
            dtype,
            shape,
            file: files[file],
            offset,
            length,
          })),
      );
      const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
      expect([...(inspected.parts[index]?.tensors ?? [])].sort(byName)).toEqual(expected.sort(byName));
    }
  });

  it('is shown byte for byte', async (context) => {
    ggufPython(context);
    expect(await entriesOf(`models/org/${name}`)).toEqual(files);
    for (const file of files)
      expect((await shown(`models/org/${name}/${file}`)).equals(await readFile(join(sources, file)))).toBe(
        true,
      );
  });

  it('has parts that are GGUF files, with its tensors and the metadata that belongs to them', async (context) => {
    const python = ggufPython(context);
    const whole = together(await source(context));
    const into = join(scratch, `parts-${name}`);
    await mkdir(into);
    expect(await entriesOf(`slices/org/${name}/${everything}`)).toEqual([
      ...parts.map(partName),
      'slice.json',
    ]);
    for (const part of parts)
      await writeFile(
        join(into, partName(part)),
        await shown(`slices/org/${name}/${everything}/${partName(part)}`),
      );
    const read = await readGguf(python, ...parts.map((part) => join(into, partName(part))));
    const small = Object.fromEntries(
      Object.entries(withoutSplit(whole.fields)).filter(
        ([field]) => !field.startsWith('tokenizer.') && field !== 'test.long',
      ),
    );
    for (const [index, part] of parts.entries()) {
      const file = read[index];
      const expected = Object.fromEntries(
        Object.entries(whole.tensors).filter(([tensor]) => isIn(tensor, part, model)),
      );
      expect(Object.keys(expected)).not.toHaveLength(0);
      expect(content(file?.tensors ?? {})).toEqual(content(expected));
      expect(file?.fields).toEqual(part === 'embed' ? withoutSplit(whole.fields) : small);
      expect(file?.alignment).toBe(model.alignment ?? 32);
    }
    // ggml itself wants each tensor right behind the padded one before, and the last one padded too.
    const loaded = await loadWithGgml(python, ...parts.map((part) => join(into, partName(part))));
    expect(loaded).toEqual(
      read.map(({ tensors, fields }) => ({
        tensors: Object.entries(tensors)
          .sort(([, one], [, other]) => one.offset - other.offset)
          .map(([tensor, { length }]) => [tensor, length]),
        pairs: Object.keys(fields).length,
      })),
    );
  });

  it('shows the same part in every slice', async (context) => {
    ggufPython(context);
    for (const slice of ['0-1+embed', '0-2+embed+head', '0-1']) {
      expect(await entriesOf(`slices/org/${name}/${slice}`)).not.toContain('model.safetensors.index.json');
      const one = await shown(`slices/org/${name}/${slice}/block-00000.gguf`);
      expect(one.equals(await shown(`slices/org/${name}/${everything}/block-00000.gguf`))).toBe(true);
    }
    const missing = await fetch(`${store.url}/tree/slices/org/${name}/0-1/embed.gguf`);
    expect(missing.status).toBe(404);
  });

  it('is fetched: the very files, exactly their bytes, and nothing the second time', async (context) => {
    ggufPython(context);
    const into = join(scratch, `fetched-${name}`);
    const slice = ['fetch', `org/${name}`, '--store', store.url, '--into', into];
    const before = await egress(store.url);
    const first = await calyxJson(...slice, '--blocks', '1:2', '--embed');
    expect((await egress(store.url)) - before).toBe(first['bytesFetched']);
    const named = ['embed.gguf', 'block-00001.gguf', 'slice.json'];
    expect((await readdir(into)).filter((entry) => entry !== '.calyx').sort()).toEqual(named.sort());
    for (const file of named.filter((entry) => entry.endsWith('.gguf')))
      expect(
        (await readFile(join(into, file))).equals(await shown(`slices/org/${name}/${everything}/${file}`)),
      ).toBe(true);
    expect(await calyxJson(...slice, '--blocks', '1:2', '--embed')).toMatchObject({
      bytesFetched: 0,
      chunks: 0,
    });
    expect(await calyxJson(...slice, '--blocks', '0:1', '--drop', '1:2')).toMatchObject({
      parts: ['embed', 0],
    });
    expect((await readdir(into)).sort()).toEqual(['.calyx', 'block-00000.gguf', 'embed.gguf', 'slice.json']);
  });
});

describe('a GGUF model', SLOW, () => {
  it('in a directory has its small files in every slice', async (context) => {
    ggufPython(context);
    expect(await entriesOf('slices/org/tiny/3-5')).toEqual([
      'config.json',
      'tokenizer.json',
      'block-00003.gguf',
      'block-00004.gguf',
      'slice.json',
    ]);
  });

  it('from the store generates the golden tokens in llama.cpp', async (context) => {
    const python = ggufPython(context);
    const path = join(scratch, 'downloaded.gguf');
    await writeFile(path, await shown('models/org/tiny/tiny-F32.gguf'));
    const { cases } = readGolden(TINY);
    const prompts = cases.map(({ tokens = [] }) => tokens);
    const generated = await generateWithLlamaCpp(python, path, 64, prompts);
    for (const [index, { greedy }] of cases.entries()) {
      // llama.cpp goes on behind the end.
      const expected = greedy.slice(0, 64);
      expect(generated.tokens[index]?.slice(0, expected.length), `after prompt ${index}`).toEqual(expected);
    }
    // And its own tokenizer, from the metadata, makes the same ids of the same text.
    const texts = cases.map(({ rendered = '' }) => rendered);
    expect((await generateWithLlamaCpp(python, path, 1, texts)).encoded).toEqual(prompts);
  });

  it('of quantised weights is read by llama.cpp as it was', async (context) => {
    const python = ggufPython(context);
    const file = join(sources, 'tiny-Q8_0.gguf');
    await convertToGguf(python, TINY, file, 'Q8_0');
    await calyxJson('add', file, '--name', 'org/tiny-q8', '--data', data);
    const path = join(scratch, 'downloaded-q8.gguf');
    await writeFile(path, await shown('models/org/tiny-q8/tiny-Q8_0.gguf'));
    const prompts = readGolden(TINY).cases.map(({ tokens = [] }) => tokens);
    const [before, after] = await Promise.all(
      [file, path].map((each) => generateWithLlamaCpp(python, each, 32, prompts)),
    );
    expect(after).toEqual(before);
  });

  it('is verified; a damaged tensor is named', async (context) => {
    ggufPython(context);
    expect((await calyx('verify', '--data', data)).code).toBe(0);
    const cut = join(scratch, 'damaged');
    await calyxJson('add', pathOf(MODELS[0] ?? expect.fail()), '--name', 'org/mixed', '--data', cut);
    const blobs = join(cut, 'models--org--mixed', 'blobs');
    const [blob = ''] = await readdir(blobs);
    const inspected = (await calyxJson('inspect', join(blobs, blob))) as unknown as {
      parts: { tensors: { name: string; offset: number }[] }[];
    };
    const tensor = inspected.parts[2]?.tensors.find(({ name }) => name === 'blk.1.q6_k.weight');
    const file = await open(join(blobs, blob), 'r+');
    await file.write(Buffer.from('x'), 0, 1, (tensor?.offset ?? 0) + 1);
    await file.close();
    const verified = await calyx('verify', '--data', cut);
    expect(verified.code).not.toBe(0);
    expect(verified.stdout + verified.stderr).toContain('blk.1.q6_k.weight');
  });

  it('as a slice on a disk is refused by calyx node, too', async (context) => {
    ggufPython(context);
    const into = join(scratch, 'slice-of-tiny');
    await calyxJson(
      'fetch',
      'org/tiny',
      '--store',
      store.url,
      '--into',
      into,
      '--blocks',
      '0:12',
      '--embed',
      '--head',
    );
    const ended = await calyx('node', '--slice', into, '--listen', '127.0.0.1:0', '--store', store.url);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('org/tiny is a GGUF model');
  });

  it('of this disk is planned without a store', async (context) => {
    ggufPython(context);
    const { parts } = (await calyxJson('inspect', tiny)) as unknown as { parts: { bytes: number }[] };
    const planned = await calyxJson('fetch', tiny, '--blocks', '4:6', '--dry-run');
    expect(planned['bytesFetched']).toBe((parts[5]?.bytes ?? 0) + (parts[6]?.bytes ?? 0));
  });

  it.for([
    ['node', ['--model', 'org/tiny', '--blocks', '0:4', '--listen', '127.0.0.1:0']],
    ['run', ['org/tiny', 'hello']],
  ] as const)('calyx %s refuses it and names what runs it', async ([command, args], context) => {
    ggufPython(context);
    const node = command === 'node' ? ['--data', join(scratch, 'node')] : [];
    const ended = await calyx(command, ...args, ...node, '--store', store.url);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('org/tiny is a GGUF model');
    expect(ended.stderr).toContain('llama.cpp');
    expect(ended.stderr).toContain('models/org/tiny/tiny-F32.gguf');
  });
});
