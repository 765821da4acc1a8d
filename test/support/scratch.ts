import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A directory for one test file, removed when its tests are done. Called at the top of the file: hooks inside of hooks are lost. */
export function scratchDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), 'calyx-e2e-'));
  afterAll(() => {
    rmSync(path, { recursive: true, force: true, maxRetries: 3 });
  });
  return path;
}
