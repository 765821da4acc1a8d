import { describe, expect, it } from 'vitest';
import { printable, printableJson, printableLine } from './printable.js';

describe('printable', () => {
  it.each([
    ['\u001b[2J', '\\u{1b}[2J'],
    ['\u001b]52;c;cm0=\u0007', '\\u{1b}]52;c;cm0=\\u{7}'],
    ['\u009b31m', '\\u{9b}31m'],
    ['a\rb', 'a\\u{d}b'],
    ['\u202egnp.exe', '\\u{202e}gnp.exe'],
    ['a\u2028b', 'a\\u{2028}b'],
    ['a\nb\tc', 'a\nb\tc'],
    ['花萼 ✓ é', '花萼 ✓ é'],
  ])('%j is shown as %j', (text, shown) => {
    expect(printable(text)).toBe(shown);
  });

  it('a line stays a line', () => {
    expect(printableLine('a\nb\tc')).toBe('a\\u{a}b\\u{9}c');
  });

  it('JSON stays the same JSON', () => {
    const value = { name: '\u009b31m \u202e \u007f', next: 'a\nb' };
    const json = printableJson(JSON.stringify(value));
    expect(json).toBe('{"name":"\\u009b31m \\u202e \\u007f","next":"a\\nb"}');
    expect(JSON.parse(json)).toEqual(value);
  });
});
