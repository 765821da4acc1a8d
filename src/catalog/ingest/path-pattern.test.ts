import { describe, expect, it } from 'vitest';
import { fileFilter, matchesPath } from './path-pattern.js';

describe('a pattern of paths', () => {
  // What Python's fnmatch.fnmatchcase says of these, with which huggingface_hub reads --include.
  it.each<[string, string, boolean]>([
    ['*.json', 'config.json', true],
    ['*.json', 'original/params.json', true],
    ['*.json', 'config.jsonl', false],
    ['original/*', 'original/a/b.pth', true],
    ['original/*', 'original', false],
    ['original/', 'original/a.pth', true],
    ['model-?????-of-*', 'model-00001-of-00006.safetensors', true],
    ['model-?', 'model-', false],
    ['*', '', true],
    ['', '', true],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
  ])('%s takes %s: %s', (pattern, path, expected) => {
    expect(matchesPath(pattern, path)).toBe(expected);
  });

  it('of many stars takes no time', () => {
    const startedAt = performance.now();
    expect(matchesPath(`${'*a'.repeat(400)}b`, 'a'.repeat(1000))).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });

  it('what is excluded is left out though it is included', () => {
    const wanted = fileFilter({ include: ['*.json', '*.txt'], exclude: ['b*'] });
    expect(['a.json', 'b.json', 'a.bin'].filter(wanted)).toEqual(['a.json']);
    expect(fileFilter({})('anything')).toBe(true);
  });
});
