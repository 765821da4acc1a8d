import { join } from 'node:path';
import { ROOT } from './directories.js';
import { start } from './cli.js';
import { runScript, runHere } from './python-engines.js';

/** A tensor as the public gguf package reads it. */
export interface ReadGgufTensor {
  readonly dtype: string;
  /** The shortest stride first. */
  readonly shape: readonly number[];
  readonly offset: number;
  readonly length: number;
  readonly sha256: string;
}

/** A file as the public gguf package reads it. */
export interface ReadGguf {
  readonly alignment: number;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly tensors: Readonly<Record<string, ReadGgufTensor>>;
}

/** The model that `write_gguf.py` writes. */
export interface RandomGguf {
  readonly blocks: number;
  readonly types: readonly string[];
  readonly alignment?: number;
  readonly tensors_per_file?: number;
  readonly tied?: boolean;
  readonly rope?: boolean;
}

/** Runs one of the scripts in test/python that print nothing. */
async function run(python: string, script: string, ...args: string[]): Promise<void> {
  const ended = await start(python, [join(ROOT, 'test', 'python', script), ...args]).ended;
  if (ended.code !== 0) throw new Error(`${script} ended with ${JSON.stringify(ended)}`);
}

/** Writes a model of random numbers by the public package. */
export const writeGguf = (python: string, out: string, model: RandomGguf): Promise<void> =>
  run(python, 'write_gguf.py', out, JSON.stringify(model));

/** Writes a Llama model of safetensors as GGUF by the public package. */
export const convertToGguf = (python: string, directory: string, out: string, type = 'F32'): Promise<void> =>
  run(python, 'convert_to_gguf.py', directory, out, type);

/** Files as the public package reads them, in the order given. */
export async function readGguf(python: string, ...paths: string[]): Promise<ReadGguf[]> {
  const read = (await runScript(python, runHere, 'read_gguf.py', ...paths)) as Record<string, ReadGguf>;
  return paths.map((path) => {
    const file = read[path];
    if (file === undefined) throw new Error(`nothing was read of ${path}`);
    return file;
  });
}

/** The types of tensors that the public package knows: number, elements and bytes of a block. */
export const publicTypes = (python: string) =>
  runScript(python, runHere, 'read_gguf.py', '--types') as Promise<Record<string, [number, number, number]>>;

/** A file as ggml loaded it with all its data; null if it refused it. */
export type LoadedGguf = {
  readonly tensors: readonly (readonly [name: string, bytes: number])[];
  readonly pairs: number;
} | null;

/** Lets ggml, the library below llama.cpp, load files. */
export const loadWithGgml = (python: string, ...paths: string[]) =>
  runScript(python, runHere, 'load_gguf.py', ...paths) as Promise<LoadedGguf[]>;

/** What llama.cpp generated. */
export interface Generated {
  readonly tokens: readonly (readonly number[])[];
  readonly texts: readonly string[];
  /** The ids of the prompts. */
  readonly encoded: readonly (readonly number[])[];
}

/** Lets llama.cpp generate `count` tokens after each prompt (ids, or text for its own tokenizer), taking the most likely one. */
export async function generateWithLlamaCpp(
  python: string,
  path: string,
  count: number,
  prompts: readonly (string | readonly number[])[],
): Promise<Generated> {
  const args = prompts.map((prompt) => (typeof prompt === 'string' ? `text:${prompt}` : prompt.join(',')));
  return (await runScript(python, runHere, 'generate_gguf.py', path, String(count), ...args)) as Generated;
}
