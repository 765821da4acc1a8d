import { open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readModel } from '../../src/weights/model-directory.js';
import { layOutPart } from '../../src/weights/parts.js';
import { readSafetensorsFile } from '../../src/weights/safetensors-file.js';
import type { TensorLocation } from '../../src/weights/tensor.js';
import { python, requirePython } from '../support/python.js';
import { testDirectory } from '../support/directories.js';

const models = fileURLToPath(new URL('../../../test/fixtures/models/', import.meta.url));

/** A tensor: its name, dtype, shape, and the SHA-256 of its bytes. */
type Row = [string, string, number[], string];

/** What the reference implementation reads in each of the files: the tensors sorted by name. */
const dump = (...paths: string[]): Row[][] =>
  python(
    `
import sys, json, hashlib
from safetensors import deserialize
def read(path):
    with open(path, 'rb') as file:
        tensors = deserialize(file.read())
    return sorted([n, t['dtype'], list(t['shape']), hashlib.sha256(bytes(t['data'])).hexdigest()] for n, t in tensors)
print(json.dumps([read(path) for path in sys.argv[1:]]))
`,
    null,
    ...paths,
  ) as Row[][];

async function writePart(path: string, directory: string, tensors: TensorLocation[]): Promise<number> {
  const { header, tensors: ordered, size } = layOutPart(tensors);
  const pieces: Uint8Array[] = [header];
  for (const { file, offset, length } of ordered) {
    const shard = await open(join(directory, file));
    const { buffer } = await shard.read(Buffer.alloc(length), 0, length, offset);
    await shard.close();
    pieces.push(buffer);
  }
  await writeFile(path, Buffer.concat(pieces));
  return size;
}

describe("Python's safetensors", () => {
  it('reads every part of every fixture, with the tensors that it reads in the model itself', async (context) => {
    requirePython(context, 'numpy', 'safetensors');
    const target = testDirectory();
    for (const name of ['llama3-rope', 'mistral-f32', 'qwen2-tied', 'qwen3']) {
      const directory = join(models, name);
      const { map, shards, tensors } = await readModel(directory);
      const rows = dump(...shards.map(({ path }) => join(directory, path))).flat();
      const published = new Map(rows.map((row) => [row[0], row]));
      const parts = [map.embed, ...map.blocks, map.head];
      const paths = parts.map((_, number) => join(target, `${name}-${number}.safetensors`));
      const members = parts.map((part) => part.flatMap((index) => tensors[index] ?? []));
      for (const [number, path] of paths.entries()) {
        const size = await writePart(path, directory, members[number] ?? []);
        expect((await readSafetensorsFile(path)).size).toBe(size);
      }
      const names = members.map((part) => part.map((tensor) => tensor.name).sort());
      expect(dump(...paths)).toEqual(names.map((part) => part.map((tensor) => published.get(tensor))));
      // Together the parts are the whole model.
      expect(new Set(parts.flat()).size).toBe(published.size);
    }
  });

  it('accepts a part of mixed element types, odd sizes, names that need escapes, and no elements', async (context) => {
    requirePython(context, 'numpy', 'safetensors');
    const path = join(testDirectory(), 'part.safetensors');
    const odd: [string, string, number[], number][] = [
      ['u8', 'U8', [3], 3],
      ['f16 "quoted" \\ é', 'F16', [5], 10],
      ['scalar', 'F32', [], 4],
      ['bool', 'BOOL', [1, 1, 7], 7],
      ['empty', 'BF16', [0, 4], 0],
      ['i64', 'I64', [2], 16],
      ['f8', 'F8_E4M3', [3, 3], 9],
    ];
    const { header, size } = layOutPart(
      odd.map(([name, dtype, shape, length]) => ({ name, dtype, shape, length, offset: 0 })),
    );
    await writeFile(path, Buffer.concat([header, Buffer.alloc(49, 0xab)]));
    expect(size).toBe(header.byteLength + 49);
    const rows = dump(path).flat();
    expect(new Map(rows.map(([name, dtype, shape]) => [name, [dtype, shape]]))).toEqual(
      new Map(odd.map(([name, dtype, shape]) => [name, [dtype, shape]])),
    );
  });

  it('writes files that are read here with the same offsets', async (context) => {
    requirePython(context, 'numpy', 'safetensors');
    const path = join(testDirectory(), 'numpy.safetensors');
    const written = python(
      `
import sys, json, numpy
from safetensors.numpy import save_file
save_file({'b': numpy.arange(6, dtype='float16').reshape(2, 3), 'a': numpy.ones((5,), 'int64'), 'é': numpy.zeros((3,), 'uint8')},
          sys.argv[1], {'made': 'by numpy'})
data = open(sys.argv[1], 'rb').read()
start = 8 + int.from_bytes(data[:8], 'little')
entries = json.loads(data[8:start])
entries.pop('__metadata__')
print(json.dumps(sorted([start + e['data_offsets'][0], e['data_offsets'][1] - e['data_offsets'][0], n] for n, e in entries.items())))
`,
      null,
      path,
    );
    const { tensors } = await readSafetensorsFile(path);
    expect(tensors.map(({ offset, length, name }) => [offset, length, name])).toEqual(written);
    expect(tensors).toHaveLength(3);
  });
});
