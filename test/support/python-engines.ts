import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, type TestContext } from 'vitest';
import { start, type Ended } from './cli.js';
import { ROOT } from './directories.js';
import type { PythonTensor } from './outside-tools.js';
import { expectedTensors } from './slices.js';

const SCRIPTS = join(ROOT, 'test', 'python');

/** An engine that runs in a virtual environment of its own. */
export interface PythonEngine {
  readonly name: string;
  /** The environment variable with the path of its interpreter. */
  readonly variable: string;
  readonly modules: readonly string[];
  /** What makes the environment. @default scripts/engines-venv.sh */
  readonly script?: string;
}

/** The safetensors library, and transformers with torch. */
export const ENGINES: PythonEngine = {
  name: 'transformers',
  variable: 'CALYX_ENGINES_PYTHON',
  modules: ['safetensors', 'torch', 'transformers'],
};

/** Petals with the older packages that it needs. */
export const PETALS: PythonEngine = {
  name: 'Petals',
  variable: 'CALYX_PETALS_PYTHON',
  modules: ['petals', 'torch'],
};

/** The public reader and writer of GGUF, and llama.cpp. */
export const GGUF: PythonEngine = {
  name: 'llama.cpp',
  variable: 'CALYX_GGUF_PYTHON',
  modules: ['gguf', 'llama_cpp'],
  script: 'scripts/gguf-venv.sh',
};

/** The interpreter of an engine, or why there is none. Cheap: the modules are looked for, not imported. */
export function findPython(
  engine: PythonEngine,
  environment: Readonly<NodeJS.ProcessEnv> = process.env,
): { readonly python: string } | { readonly missing: string } {
  const { name, variable, modules, script = 'scripts/engines-venv.sh' } = engine;
  const python = environment[variable];
  const remedy = `run ${script} DIRECTORY and set the variables that it prints`;
  if (python === undefined || python === '')
    return { missing: `${name} is needed to check against: ${variable} is not set; ${remedy}` };
  const find = `import importlib.util as u, sys; sys.exit(not all(map(u.find_spec, ${JSON.stringify(modules)})))`;
  const run = spawnSync(python, ['-c', find]);
  if (run.error !== undefined)
    return { missing: `${variable} is ${python}, which does not run: ${run.error.message}; ${remedy}` };
  if (run.status !== 0)
    return { missing: `${variable} is ${python}, which lacks one of ${modules.join(', ')}; ${remedy}` };
  return { python };
}

/** The interpreter of an engine. Where there is none the test is skipped with the reason; where CI is set it fails. */
function requireEngine(engine: PythonEngine, context: TestContext): string {
  const found = findPython(engine);
  if ('python' in found) return found.python;
  if (process.env['CI'] !== undefined) throw new Error(found.missing);
  return context.skip(found.missing);
}

/** The interpreter with safetensors and transformers; else the test is skipped, or fails where CI is set. */
export const enginesPython = (context: TestContext): string => requireEngine(ENGINES, context);

/** The interpreter with Petals; else the test is skipped, or fails where CI is set. */
export const petalsPython = (context: TestContext): string => requireEngine(PETALS, context);

/** The interpreter with the gguf package and llama.cpp; else the test is skipped, or fails where CI is set. */
export const ggufPython = (context: TestContext): string => requireEngine(GGUF, context);

/** Runs a command to its end: here, or on another machine that has the same interpreters and scripts under the same paths. */
export type RunCommand = (command: string, args: readonly string[]) => Promise<Ended>;

/** Longer than the longest deadline of the scripts themselves. */
const STUCK_MS = 180_000;

/** Runs a command on this machine. */
export const runHere: RunCommand = (command, args) => start(command, args, { timeout: STUCK_MS }).ended;

/** Runs one of the scripts in test/python and reads the JSON that it prints. */
export async function runScript(
  python: string,
  run: RunCommand,
  script: string,
  ...args: string[]
): Promise<unknown> {
  const ended = await run(python, [join(SCRIPTS, script), ...args]);
  if (ended.code !== 0) throw new Error(`${script} ${args.join(' ')} ended with ${JSON.stringify(ended)}`);
  return JSON.parse(ended.stdout);
}

/** What the safetensors library finds in a directory. */
export interface ReadTensors {
  /** Those that its index names. */
  readonly tensors: Readonly<Record<string, PythonTensor>>;
  readonly unlisted: readonly string[];
}

/** The tensors of directories, read by the safetensors library through their indexes. */
export async function readSlices(
  python: string,
  directories: readonly string[],
  run: RunCommand = runHere,
): Promise<readonly ReadTensors[]> {
  return (await runScript(python, run, 'read_slice.py', ...directories)) as ReadTensors[];
}

/** As {@link readSlices}, of one directory. */
export async function readSlice(
  python: string,
  directory: string,
  run: RunCommand = runHere,
): Promise<ReadTensors> {
  const [read] = await readSlices(python, [directory], run);
  if (read === undefined) throw new Error(`nothing was read of ${directory}`);
  return read;
}

/** What a slice is made from, and of. */
export interface SliceParts {
  readonly blocks: readonly number[];
  readonly embed?: boolean;
  readonly head?: boolean;
}

/** Expects the safetensors library to find in a slice the source's tensors of exactly these parts, and no others. */
export async function expectTensors(
  python: string,
  directory: string,
  source: Readonly<Record<string, PythonTensor>>,
  parts: SliceParts,
  run?: RunCommand,
): Promise<void> {
  await expectAllTensors(python, [{ directory, parts }], source, run);
}

/** As {@link expectTensors}, of several slices of one model, which is faster than one after the other. */
export async function expectAllTensors(
  python: string,
  slices: readonly { readonly directory: string; readonly parts: SliceParts }[],
  source: Readonly<Record<string, PythonTensor>>,
  run?: RunCommand,
): Promise<void> {
  const read = await readSlices(
    python,
    slices.map(({ directory }) => directory),
    run,
  );
  for (const [index, { directory, parts }] of slices.entries()) {
    const expected = expectedTensors(source, parts);
    expect(Object.keys(expected)).not.toHaveLength(0);
    expect(read[index], directory).toEqual({ tensors: expected, unlisted: [] });
  }
}

/** A prompt and the logits that have to follow it. */
export interface GoldenLogits {
  readonly ids: readonly number[];
  readonly logits: readonly number[];
}

/** The golden outputs are printed with six digits after the point, and other processors add in other orders. */
const LOGITS_TOLERANCE = 1e-4;

/** Expects transformers to load a complete model from a directory, with every weight found, and to compute these logits. */
export async function expectLogits(
  python: string,
  directory: string,
  cases: readonly GoldenLogits[],
  run: RunCommand = runHere,
): Promise<void> {
  const prompts = cases.map(({ ids }) => ids.join(','));
  const { logits } = (await runScript(python, run, 'transformers_logits.py', directory, ...prompts)) as {
    logits: number[][];
  };
  expect(logits).toHaveLength(cases.length);
  for (const [index, one] of cases.entries()) {
    const computed = logits[index] ?? [];
    expect(computed).toHaveLength(one.logits.length);
    const errors = one.logits.map((value, at) => Math.abs(value - (computed[at] ?? NaN)));
    expect(Math.max(...errors), `logits after the prompt ${index}`).toBeLessThan(LOGITS_TOLERANCE);
  }
}

/** What torch calls the types of safetensors. Petals computes in bf16 where a config names no other type. */
const TORCH_DTYPES: Readonly<Record<string, string>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };

/** Expects Petals' own loader to load a block of a Llama model from a directory with the very bytes of the source's tensors. */
export async function expectPetalsBlock(
  python: string,
  directory: string,
  source: Readonly<Record<string, PythonTensor>>,
  block: number,
  run: RunCommand = runHere,
): Promise<void> {
  const loaded = (await runScript(python, run, 'petals_block.py', directory, String(block))) as Record<
    string,
    PythonTensor
  >;
  const expected = Object.entries(expectedTensors(source, { blocks: [block] })).map(([name, tensor]) => [
    name.replace(`model.layers.${block}.`, ''),
    { ...tensor, dtype: TORCH_DTYPES[tensor.dtype] },
  ]);
  expect(expected).not.toHaveLength(0);
  expect(loaded).toEqual(Object.fromEntries(expected));
}
