import type { FileChange } from './plan-files.js';

/** Unchanged lines that are shown around what changes. */
const CONTEXT = 2;

/** A change in the unified form of diff(1), as one hunk. */
export function showChange({ path, before, after }: FileChange): string {
  const old = lines(before ?? '');
  const now = lines(after);
  let head = 0;
  while (head < Math.min(old.length, now.length) && old[head] === now[head]) head += 1;
  let tail = 0;
  while (
    tail < Math.min(old.length, now.length) - head &&
    old[old.length - 1 - tail] === now[now.length - 1 - tail]
  )
    tail += 1;
  const from = Math.max(0, head - CONTEXT);
  const shownTail = Math.min(tail, CONTEXT);
  const removed = old.slice(head, old.length - tail);
  const added = now.slice(head, now.length - tail);
  const count = (middle: number): number => head - from + middle + shownTail;
  const range = (length: number): string =>
    length === 1 ? `${from + 1}` : `${length === 0 ? from : from + 1},${length}`;
  return [
    `--- ${before === undefined ? '/dev/null' : path}`,
    `+++ ${path}`,
    `@@ -${range(count(removed.length))} +${range(count(added.length))} @@`,
    ...old.slice(from, head).map((line) => ` ${line}`),
    ...removed.map((line) => `-${line}`),
    ...added.map((line) => `+${line}`),
    ...old.slice(old.length - tail, old.length - tail + shownTail).map((line) => ` ${line}`),
  ].join('\n');
}

function lines(text: string): string[] {
  const all = text.split('\n');
  return all.at(-1) === '' ? all.slice(0, -1) : all;
}
