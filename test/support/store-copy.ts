import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { testDirectory } from './directories.js';

/** Copies a store as docs/security.md says: all but the identity and the tokens, and what only a running store has. */
export async function copyOfStore(data: string): Promise<string> {
  const copy = join(testDirectory(), 'replica');
  const left = ['.calyx/cluster', '.calyx/owners'].map((path) => join(data, path));
  await cp(data, copy, { recursive: true, verbatimSymlinks: true, filter: (path) => !left.includes(path) });
  return copy;
}
