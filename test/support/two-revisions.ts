import { cp, open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { writeRandomModel } from './models.js';

const MIB = 1024 * 1024;

/** A model of which a twentieth of the tensors differs in the second of two revisions, in the same layout. */
export async function writeTwoRevisions(directory: string): Promise<{ first: string; second: string; bytes: number }> {
  const first = join(directory, 'first');
  const second = join(directory, 'second');
  const shape = { blocks: 20, matrixBytes: MIB, shards: 4 };
  await writeRandomModel(first, { ...shape, seed: 11 });
  await cp(first, second, { recursive: true });
  // 2 of its 42 matrices: those of block 7.
  await changeTensors(second, /^model\.layers\.7\./);
  const names = await readdir(first);
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(first, name))).size));
  return { first, second, bytes: sizes.reduce((sum, size) => sum + size, 0) };
} // prettier-ignore

/** Writes other bytes into tensors, at their places in the files. */
export async function changeTensors(directory: string, which: RegExp): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.safetensors')) continue;
    const file = await open(join(directory, name), 'r+');
    try {
      const length = Buffer.alloc(8);
      await file.read(length, 0, 8, 0);
      const begin = 8 + Number(length.readBigUInt64LE());
      const header = Buffer.alloc(begin - 8);
      await file.read(header, 0, header.byteLength, 8);
      const tensors = JSON.parse(header.toString()) as Record<string, { data_offsets?: [number, number] }>;
      for (const [tensor, { data_offsets: [from, to] = [0, 0] }] of Object.entries(tensors))
        if (which.test(tensor)) await file.write(Buffer.alloc(to - from, tensor), 0, to - from, begin + from);
    } finally {
      await file.close();
    }
  }
} // prettier-ignore
