import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { emptyStore, MODEL } from '../../../test/support/catalog.js';
import { lockForCollection, lockModel } from './model-lock.js';

test('an add waits for a collection, and a collection lets an add be', async () => {
  const { layout } = emptyStore();
  const collecting = await lockForCollection(layout, MODEL, false);
  if (typeof collecting !== 'function') throw new Error('it was free');
  const order: string[] = [];
  const adding = lockModel(layout, MODEL, 'calyx add').then((lock) => {
    order.push('added');
    return lock;
  });
  // An add of another model is in nobody's way.
  await (await lockModel(layout, { org: 'acme', name: 'lily' }, 'calyx add')).release();
  order.push('collected');
  await collecting();
  const lock = await adding;
  expect(order).toEqual(['collected', 'added']);
  const held = { heldBy: `calyx add (process ${process.pid})` };
  expect(await lockForCollection(layout, MODEL, false)).toEqual(held);
  expect(await lockForCollection(layout, MODEL, true)).toEqual(held);
  await expect(lockModel(layout, MODEL, 'calyx add')).rejects.toMatchObject({ code: 'busy' });
  await lock.release();
});

test('a dry run only looks', async () => {
  const { layout } = emptyStore();
  expect(await lockForCollection(layout, MODEL, true)).toBeTypeOf('function');
  expect(existsSync(layout.root)).toBe(false);
});
