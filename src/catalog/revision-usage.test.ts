import { expect, test } from 'vitest';
import type { FileNode } from './file-tree.js';
import { RevisionUsage } from './revision-usage.js';

const MODEL = { org: 'acme', name: 'rose' };

function file(revision: string): FileNode {
  return {
    kind: 'file',
    size: 0,
    segments: [],
    handle: new Uint8Array(4),
    fileId: 5n,
    version: () => ({ change: 1n, time: { seconds: 0, nanoseconds: 0 } }),
    revision: { model: MODEL, revision },
  };
}

test('a reader counts for ten minutes, an open file until it is closed', () => {
  let now = 0;
  const usage = new RevisionUsage({ now: () => now, sleep: () => Promise.resolve() });
  expect(usage.usersOf(MODEL)).toEqual([]);
  usage.read(file('aa'), '10.0.0.1');
  const close = usage.open(file('bb'), '10.0.0.2');
  usage.open(file('bb'), '10.0.0.2')();
  now = 599_999;
  expect(usage.usersOf(MODEL)).toEqual([
    { revision: 'bb', by: '10.0.0.2', idleMs: undefined, open: 1 },
    { revision: 'aa', by: '10.0.0.1', idleMs: 599_999, open: 0 },
  ]);
  expect(usage.usersOf({ org: 'acme', name: 'iris' })).toEqual([]);
  now = 600_000;
  expect(usage.usersOf(MODEL).map(({ by }) => by)).toEqual(['10.0.0.2']);
  close();
  close();
  expect(usage.usersOf(MODEL)).toEqual([]);
});

test('open files are remembered, however many read', () => {
  const usage = new RevisionUsage();
  usage.open(file('aa'), '10.0.0.1');
  for (let reader = 0; reader < 70_000; reader += 1) usage.read(file('bb'), `reader ${reader}`);
  const users = usage.usersOf(MODEL);
  expect(users[0]).toMatchObject({ revision: 'aa', by: '10.0.0.1', open: 1 });
  expect(users.length).toBeLessThan(66_000);
});
