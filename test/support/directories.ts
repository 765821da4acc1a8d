import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, onTestFinished } from 'vitest';

/** The checkout; tests run compiled, from `dist/test/support`. */
export const ROOT = fileURLToPath(new URL('../../..', import.meta.url));

/** An empty directory that is removed when the running test ends. */
export function testDirectory(): string {
  const path = makeDirectory();
  onTestFinished(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}

/** An empty directory for all tests of a file; to be called at the top of the file, because hooks inside of hooks are lost. */
export function suiteDirectory(): string {
  const path = makeDirectory();
  afterAll(() => rmSync(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}

function makeDirectory(): string {
  return mkdtempSync(join(realpathSync(tmpdir()), 'calyx-test-'));
}
