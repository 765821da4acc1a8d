import { spawnSync } from 'node:child_process';
import type { TestContext } from 'vitest';

const PYTHON = process.env['PYTHON'] ?? 'python3';
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/**
 * Skips the test, with the reason, unless Python has these modules. Where CI is set a test must not be skipped silently,
 * so there it fails.
 */
export function requirePython(context: TestContext, ...modules: string[]): void {
  const reason = missing(modules);
  if (reason === undefined) return;
  if (process.env['CI'] !== undefined) throw new Error(reason);
  context.skip(reason);
}

/** Skips the test, with the reason, unless Python has these modules: for those that even CI may lack. */
export function preferPython(context: TestContext, ...modules: string[]): void {
  const reason = missing(modules);
  if (reason !== undefined) context.skip(reason);
}

function missing(modules: readonly string[]): string | undefined {
  const script = ['import sys', ...modules.map((name) => `import ${name}`)].join('\n');
  if (spawnSync(PYTHON, ['-c', script]).status === 0) return undefined;
  return `${PYTHON} with ${modules.join(', ') || 'its standard library'} is needed to check against`;
}

/** Runs a script, with `input` as JSON on its stdin, and reads the JSON that it prints. */
export function python(script: string, input: unknown, ...args: string[]): unknown {
  const run = spawnSync(PYTHON, ['-c', script, ...args], {
    input: JSON.stringify(input),
    maxBuffer: MAX_OUTPUT_BYTES,
    encoding: 'utf8',
  });
  if (run.status !== 0) throw new Error(`python failed: ${run.stderr}`);
  return JSON.parse(run.stdout);
}
