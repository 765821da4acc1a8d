import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, onTestFinished } from 'vitest';

/** The checkout; tests run compiled, from `dist/test/support`. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** An empty directory that is removed when the running test ends. */
export function testDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'calyx-test-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** An empty directory for all tests of a file; to be called outside of tests. */
export function suiteDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'calyx-suite-'));
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
