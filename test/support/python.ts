import { spawnSync } from 'node:child_process';
import { it } from 'vitest';

const probe = spawnSync('python3', ['-c', 'import numpy, safetensors'], { encoding: 'utf8' });
const available = probe.status === 0;

/**
 * A test that compares with Python's safetensors. Where that is not installed it is skipped and says so; on CI, which has
 * it, it runs and fails instead.
 */
export function itWithPython(name: string, test: () => Promise<void>): void {
  if (available || process.env['CI'] !== undefined) it(name, test);
  else it.skip(`${name} (skipped: python3 with numpy and safetensors is not installed)`, test);
}

/** Runs a Python program and returns what it prints, read as JSON. */
export function python(program: string, ...args: string[]): unknown {
  const { status, stdout, stderr, error } = spawnSync('python3', ['-c', program, ...args], {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
  });
  if (status !== 0) throw new Error(`python3 failed: ${error?.message ?? stderr}`);
  return JSON.parse(stdout);
}
