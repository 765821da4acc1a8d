import { readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { start } from './cli.js';
import { pythonTensors, type PythonTensor } from './outside-tools.js';

/** All tensors of a model's or a slice's directory, as Python's safetensors reader sees them. */
export async function tensorsOf(directory: string): Promise<Record<string, PythonTensor>> {
  const files = (await readdir(directory)).filter((name) => name.endsWith('.safetensors'));
  const found = await pythonTensors(files.map((name) => join(directory, name)));
  return Object.assign({}, ...Object.values(found)) as Record<string, PythonTensor>;
}

/** What a slice has to hold, told from the names of the source's tensors. */
export function expectedTensors(
  source: Readonly<Record<string, PythonTensor>>,
  parts: { readonly blocks: readonly number[]; readonly embed?: boolean; readonly head?: boolean },
): Record<string, PythonTensor> {
  const head = ['model.norm.weight'];
  // A tied head is the embedding table.
  head.push(Object.hasOwn(source, 'lm_head.weight') ? 'lm_head.weight' : 'model.embed_tokens.weight');
  return Object.fromEntries(
    Object.entries(source).filter(([name]) => {
      const block = /^model\.layers\.(\d+)\./.exec(name)?.[1];
      if (block !== undefined) return parts.blocks.includes(Number(block));
      if (parts.head === true && head.includes(name)) return true;
      return parts.embed === true && name === 'model.embed_tokens.weight';
    }),
  );
}

/** Expects a directory to hold these very parts: their tensors equal the source's, and the index lists what is there. */
export async function expectSlice(
  directory: string,
  source: Readonly<Record<string, PythonTensor>>,
  parts: { readonly blocks: readonly number[]; readonly embed?: boolean; readonly head?: boolean },
): Promise<void> {
  const expected = expectedTensors(source, parts);
  expect(await tensorsOf(directory)).toEqual(expected);
  const index = JSON.parse(await readFile(join(directory, 'model.safetensors.index.json'), 'utf8')) as {
    weight_map: Record<string, string>;
  };
  expect(Object.keys(index.weight_map).sort()).toEqual(Object.keys(expected).sort());
  const names = new Set(await readdir(directory));
  for (const file of Object.values(index.weight_map)) expect(names).toContain(file);
}

/** Bytes that a directory takes by the sizes of all that is in it, directories included, as coreutils count. */
export async function apparentBytes(directory: string): Promise<number> {
  const { stdout } = await start('du', ['--bytes', '--summarize', directory]).ended;
  return Number(stdout.split('\t')[0]);
}

/** Everything below a directory by name, with what tells whether it changed. */
export async function snapshot(directory: string): Promise<Record<string, string>> {
  const names = await readdir(directory, { recursive: true }).catch(() => undefined);
  if (names === undefined) return { missing: directory };
  const entries = names.sort().map(async (name): Promise<[string, string]> => {
    const info = await stat(join(directory, name), { bigint: true });
    return [name, `${info.ino} ${info.size} ${info.mtimeNs}`];
  });
  return Object.fromEntries(await Promise.all(entries));
}
