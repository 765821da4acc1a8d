import type * as FileSystem from 'node:fs/promises';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { identityFile, openIdentity } from './cluster-identity.js';

/** How many calls of the file system still succeed; after that, none does, as if the process were gone. */
const power = vi.hoisted(() => ({ left: Infinity }));

vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof FileSystem>();
  const guarded = (target: object): object =>
    new Proxy(target, {
      get: (of, name) => {
        const value: unknown = Reflect.get(of, name, of);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          if (name !== 'close' && (power.left -= 1) < 0) {
            // What was under way may have come half as far.
            if (name === 'writeFile') await Reflect.apply(value, of, [String(args[0]).slice(0, 300)]);
            throw Object.assign(new Error(`no power for ${String(name)}`), { code: 'EIO' });
          }
          const result: unknown = await Reflect.apply(value, of, args);
          return name === 'open' ? guarded(result as object) : result;
        };
      },
    });
  return guarded({ ...real });
});

afterEach(() => (power.left = Infinity));

it('a crash at any step of the first start leaves no identity, or a whole one', async () => {
  let [steps, none, whole] = [0, 0, 0];
  for (let done = false; !done; steps += 1) {
    const directory = join(testDirectory(), 'data', 'cluster');
    const file = identityFile(directory);
    power.left = steps;
    const first = await openIdentity(directory).catch((error: unknown) => error);
    done = power.left >= 0;
    power.left = Infinity;
    if (!done) expect(first).toMatchObject({ name: 'CalyxError', code: 'unreadable' });

    const left = existsSync(file) ? readFileSync(file, 'utf8') : undefined;
    if (left === undefined) none += 1;
    else whole += 1;
    const identity = await openIdentity(directory);
    if (left !== undefined) expect(left.endsWith(identity.ca)).toBe(true);
    expect((statSync(directory).mode & 0o777).toString(8)).toBe('700');
    expect((statSync(file).mode & 0o777).toString(8)).toBe('600');
    // What an unfinished attempt leaves behind is never taken for the identity.
    for (const name of readdirSync(directory).filter((other) => other !== 'identity.pem'))
      expect(name).toMatch(/^identity\.pem\.[0-9a-f]{12}\.tmp$/);
  }
  // Making the directories, writing, setting the mode, syncing, renaming: there were such steps before and after the rename.
  expect(none).toBeGreaterThan(8);
  expect(whole).toBeGreaterThan(2);
});
