import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { Nfs3Reader } from '../../src/protocols/nfs-client/nfs3-reader.js';
import type { NfsReader, RemoteNode } from '../../src/protocols/nfs-client/nfs-reader.js';
import { connectCaller } from '../../src/protocols/nfs-client/rpc-caller.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { TINY } from '../support/models.js';
import { opaque } from '../support/nfs4-client.js';
import { call, RawConnection, words } from '../support/raw-rpc.js';
import { rawSafetensors } from '../support/raw-safetensors.js';
import { startStore, type RunningStore } from '../support/running-store.js';

/** Longer than anything here takes on a busy machine, shorter than a client that hangs. */
const DEADLINE_MS = 60_000;

const scratch = suiteDirectory();
const data = join(scratch, 'data');
const signal = AbortSignal.timeout(10 * DEADLINE_MS);
let store: RunningStore;

beforeAll(async () => {
  await calyxJson('add', TINY, '--name', 'org/tiny', '--data', data);
  await writeScattered(join(scratch, 'scattered'));
  await calyxJson('add', join(scratch, 'scattered'), '--name', 'org/scattered', '--data', data);
  store = await startStore(data, { nfs: '127.0.0.1:0' });
  return async () => {
    await store.stop();
  };
});

function nfsPort(): number {
  return store.nfs?.port ?? expect.fail('NFS is not served');
}

const BLOCKS = 4;
const PAIRS = 1200;
const SCALE_BYTES = 256;

/** A model as quantization makes them: before each tensor its scales, which in a part stand all together. */
async function writeScattered(directory: string): Promise<void> {
  const header: Record<string, unknown> = {};
  let end = 0;
  const add = (name: string, dtype: string, bytes: number, itemBytes: number): void => {
    header[name] = { dtype, shape: [bytes / itemBytes], data_offsets: [end, (end += bytes)] };
  };
  add('model.embed_tokens.weight', 'BF16', 128, 2);
  for (let block = 0; block < BLOCKS; block += 1) {
    for (let expert = 0; expert < PAIRS; expert += 1) {
      const name = `model.layers.${block}.mlp.experts.${expert}.up_proj.weight`;
      add(`${name}_scale`, 'F32', SCALE_BYTES, 4);
      add(name, 'BF16', 128, 2);
    }
  }
  add('model.norm.weight', 'BF16', 128, 2);
  add('lm_head.weight', 'BF16', 128, 2);
  const bytes = Uint8Array.from({ length: end }, (_, index) => (index * 31 + (index >> 8)) & 255);
  await mkdir(directory);
  await writeFile(join(directory, 'model.safetensors'), rawSafetensors(JSON.stringify(header), bytes));
  const config = { architectures: ['LlamaForCausalLM'], model_type: 'llama', num_hidden_layers: BLOCKS, hidden_size: 64 }; // prettier-ignore
  await writeFile(join(directory, 'config.json'), JSON.stringify(config));
}

async function connect(): Promise<NfsReader> {
  const options = {
    host: '127.0.0.1',
    port: nfsPort(),
    privileged: false,
    signal,
    timeoutMs: DEADLINE_MS,
    callTimeoutMs: DEADLINE_MS,
  };
  return Nfs3Reader.open(await connectCaller(options), '/', signal);
}

async function at(reader: NfsReader, path: string): Promise<RemoteNode> {
  let node = reader.root;
  for (const name of path.split('/')) node = await reader.lookup(node, name, signal);
  return node;
}

test(
  'very many READs of scattered tensors at the same time are all answered',
  { timeout: 2 * DEADLINE_MS },
  async () => {
    const into = join(scratch, 'fetched');
    const asked = ['org/scattered', '--blocks', `0:${BLOCKS}`, '--into', into];
    await calyxJson('fetch', ...asked, '--store', store.url);
    const reader = await connect();
    const parts = await Promise.all(
      Array.from({ length: BLOCKS }, async (_, block) => {
        const name = `block-0000${block}.safetensors`;
        const { handle } = await at(reader, `slices/org/scattered/0-${BLOCKS}/${name}`);
        const whole = await readFile(join(into, name));
        return { handle, whole, dataAt: 8 + Number(whole.readBigUInt64LE()) };
      }),
    );
    await reader.close();
    const readOf = (number: number) => {
      const { dataAt, ...part } = parts[number % BLOCKS] as (typeof parts)[number];
      return { ...part, offset: dataAt + SCALE_BYTES * ((number * 7) % (PAIRS - 20)) + (number % 200) };
    };
    const READ = { program: 100_003, version: 3, procedure: 6 };
    // All calls of a connection arrive at once, as they do from a kernel that reads ahead.
    const clients = Array.from({ length: 12 }, async (_, client) => {
      const connection = await RawConnection.open(nfsPort());
      const numbers = Array.from({ length: 128 }, (__, index) => client * 128 + index);
      const calls = numbers.map((number) => {
        const { handle, offset } = readOf(number);
        return call(number, READ, Buffer.concat([opaque(handle), words(0, offset, 4096)]));
      });
      connection.send(Buffer.concat(calls));
      for (let left = calls.length; left > 0; left -= 1) {
        const reply = Buffer.from(await connection.receiveRecord(), 'hex');
        const { whole, offset } = readOf(reply.readUInt32BE(4));
        // After the mark and the header of RPC: NFS3_OK, attributes, count, eof.
        expect(reply.readUInt32BE(28)).toBe(0);
        const length = reply.readUInt32BE(28 + 100);
        expect(length).toBeGreaterThan(0);
        const bytes = reply.subarray(28 + 104, 28 + 104 + length);
        expect(bytes.equals(whole.subarray(offset, offset + length))).toBe(true);
      }
      connection.destroy();
    });
    await Promise.all(clients);
  },
);

test('a file that was cut off on the disk of the store is an error where it lacks bytes, and nowhere else', async () => {
  const reader = await connect();
  const name = 'model-00001-of-00004.safetensors';
  const node = await at(reader, `models/org/tiny/${name}`);
  const whole = await readFile(join(TINY, name));
  const blobs = join(data, 'models--org--tiny', 'blobs');
  const paths = (await readdir(blobs)).map((blob) => join(blobs, blob));
  const contents = await Promise.all(paths.map((path) => readFile(path)));
  const path = paths[contents.findIndex((content) => content.equals(whole))] ?? expect.fail('no such blob');
  const cut = Math.floor(whole.byteLength / 2);
  await truncate(path, cut);
  try {
    expect((await stat(path)).size).toBe(cut);
    const { bytes } = await reader.read(node, cut - 10, 10, signal);
    expect(Buffer.from(bytes)).toEqual(whole.subarray(cut - 10, cut));
    for (const [offset, length] of [
      [cut - 10, 11],
      [cut, 1],
      [whole.byteLength - 1, 1],
    ] as const)
      await expect(reader.read(node, offset, length, signal)).rejects.toThrow();
    const other = await at(reader, 'models/org/tiny/model-00002-of-00004.safetensors');
    expect((await reader.read(other, 0, 100, signal)).bytes.byteLength).toBe(100);
  } finally {
    await writeFile(path, whole);
    await reader.close();
  }
});
