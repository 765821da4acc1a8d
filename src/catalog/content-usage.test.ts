import { expect, test } from 'vitest';
import { ContentUsage } from './content-usage.js';

const OLD = { revision: 'old', manifest: 'm-old', blobs: ['shared', 'shared', 'only-old'] };
const NEW = { revision: 'new', manifest: 'm-new', blobs: ['shared', 'only-new'] };

function usageAt(): { usage: ContentUsage; at: (ms: number) => void } {
  let now = 0;
  const usage = new ContentUsage({ now: () => now, sleep: () => Promise.resolve() });
  return { usage, at: (ms) => void (now = ms) };
}

test('an answer under way counts however long it takes, and ten minutes more', () => {
  const { usage, at } = usageAt();
  const end = usage.reading('only-old', '10.0.0.1');
  usage.reading('only-new', '10.0.0.2')();
  at(3_600_000);
  expect(usage.usersOf([OLD, NEW])).toEqual([{ revision: 'old', by: '10.0.0.1', idleMs: 0, open: 1 }]);
  end();
  end();
  at(3_600_000 + 599_999);
  expect(usage.usersOf([OLD, NEW])).toEqual([{ revision: 'old', by: '10.0.0.1', idleMs: 599_999, open: 0 }]);
  at(3_600_000 + 600_000);
  expect(usage.usersOf([OLD, NEW])).toEqual([]);
});

test('who reads what two revisions have uses the one whose manifest he got, however long ago', () => {
  const { usage, at } = usageAt();
  usage.reading('m-new', '10.0.0.1')();
  at(3_600_000);
  usage.reading('shared', '10.0.0.1')();
  usage.reading('shared', '10.0.0.2')();
  const users = usage.usersOf([OLD, NEW]).map(({ by, revision }) => `${by} ${revision}`);
  expect(users.sort()).toEqual(['10.0.0.1 new', '10.0.0.2 new', '10.0.0.2 old']);
});

test('what is read of other models is nothing to this one', () => {
  const { usage } = usageAt();
  usage.reading('elsewhere', '10.0.0.1')();
  expect(usage.usersOf([OLD, NEW])).toEqual([]);
});
