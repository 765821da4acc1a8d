import { spawnSync } from 'node:child_process';
import { start } from './cli.js';

/** Why a tool that is not ours cannot be used here, or undefined if it can. In continuous integration it must be there. */
export function missing(tool: string, ...args: string[]): string | undefined {
  const { status } = spawnSync(tool, args, { stdio: 'ignore' });
  if (status === 0) return undefined;
  if (process.env['CI'] !== undefined) throw new Error(`${tool} ${args.join(' ')} does not work here`);
  return `${tool} ${args.join(' ')} does not work here`;
}

/** Why Python's own safetensors reader cannot be used, or undefined. */
export const noPython = missing('python3', '-c', 'import safetensors, numpy');

/** Why curl cannot be used, or undefined. */
export const noCurl = missing('curl', '--version');

/** A tensor as Python sees it. */
export interface PythonTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly sha256: string;
}

// `safe_open` has no bf16 in numpy, so `deserialize` is used: the same reader, which gives the bytes as they are.
const READ_TENSORS = `
import sys, json, hashlib, safetensors
found = {}
for path in sys.argv[1:]:
    with open(path, 'rb') as file:
        for name, tensor in safetensors.deserialize(file.read()):
            digest = hashlib.sha256(bytes(tensor['data'])).hexdigest()
            found.setdefault(path, {})[name] = {'dtype': tensor['dtype'], 'shape': tensor['shape'], 'sha256': digest}
    found.setdefault(path, {})
json.dump(found, sys.stdout)
`;

/** The tensors of safetensors files, by file and name, as Python's reader sees them. */
export async function pythonTensors(
  paths: readonly string[],
): Promise<Record<string, Record<string, PythonTensor>>> {
  const ended = await start('python3', ['-c', READ_TENSORS, ...paths]).ended;
  if (ended.code !== 0) throw new Error(`python3: ${ended.stderr}`);
  return JSON.parse(ended.stdout) as Record<string, Record<string, PythonTensor>>;
}

/** The SHA-256 of files, by path, as coreutils see them. */
export async function sha256sum(paths: readonly string[]): Promise<Record<string, string>> {
  if (paths.length === 0) return {};
  const ended = await start('sha256sum', [...paths]).ended;
  if (ended.code !== 0) throw new Error(ended.stderr);
  return Object.fromEntries(
    ended.stdout
      .trimEnd()
      .split('\n')
      .map((line) => [line.slice(66), line.slice(0, 64)]),
  );
}
