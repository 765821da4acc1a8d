import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** A directory for one test file, removed when its tests are done. */
export async function scratchDirectory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'calyx-e2e-'));
  afterAll(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  return path;
}
