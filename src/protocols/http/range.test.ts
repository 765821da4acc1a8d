import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matchesIfRange, namesTag, parseRange } from './range.js';

const whole = { kind: 'whole' };
const unsatisfiable = { kind: 'unsatisfiable' };
const part = (offset: number, length: number) => ({ kind: 'part', extent: { offset, length } });

// RFC 9110, section 14.1.2: its examples are of a content of 10000 bytes.
describe('parseRange', () => {
  it.each([
    [undefined, 10_000, whole],
    ['bytes=0-499', 10_000, part(0, 500)],
    ['bytes=500-999', 10_000, part(500, 500)],
    ['bytes=-500', 10_000, part(9500, 500)],
    ['bytes=9500-', 10_000, part(9500, 500)],
    ['bytes=0-0', 10_000, part(0, 1)],
    ['bytes=-1', 10_000, part(9999, 1)],
    ['bytes=9999-9999', 10_000, part(9999, 1)],
    ['bytes=0-', 10_000, part(0, 10_000)],
    ['BYTES=0-499', 10_000, part(0, 500)],
    // An end past the content means its end; so does a suffix that is longer than the content.
    ['bytes=9000-20000', 10_000, part(9000, 1000)],
    ['bytes=-20000', 10_000, part(0, 10_000)],
    ['bytes=0-99999999999999999999999999', 10_000, part(0, 10_000)],
    [`bytes=-${'9'.repeat(400)}`, 10_000, part(0, 10_000)],
    // A start past the content, and a suffix of nothing, cannot be satisfied.
    ['bytes=10000-', 10_000, unsatisfiable],
    ['bytes=10000-10001', 10_000, unsatisfiable],
    [`bytes=${'9'.repeat(400)}-`, 10_000, unsatisfiable],
    ['bytes=-0', 10_000, unsatisfiable],
    // An empty content: its suffix is all of it, which no Content-Range could say.
    ['bytes=0-', 0, unsatisfiable],
    ['bytes=0-0', 0, unsatisfiable],
    ['bytes=-5', 0, whole],
    ['bytes=-0', 0, unsatisfiable],
    // An invalid range is ignored, as are other units and, by choice, several ranges.
    ['bytes=500-499', 10_000, whole],
    ['bytes=-', 10_000, whole],
    ['bytes=', 10_000, whole],
    ['bytes=0-1,5-6', 10_000, whole],
    ['bytes=0-1,', 10_000, whole],
    ['bytes=0-1-2', 10_000, whole],
    ['bytes=--1', 10_000, whole],
    ['bytes=+1-2', 10_000, whole],
    ['bytes=0x1-2', 10_000, whole],
    ['bytes=1.0-2', 10_000, whole],
    ['bytes=1e1-20', 10_000, whole],
    ['bytes=a-b', 10_000, whole],
    ['bytes = 0-1', 10_000, whole],
    ['bytes=\u0660-\u0669', 10_000, whole],
    ['lines=0-1', 10_000, whole],
    ['0-1', 10_000, whole],
    ['', 10_000, whole],
  ])('%j of %d bytes', (header, size, expected) => {
    expect(parseRange(header, size)).toEqual(expected);
  });

  it('never leaves the content, whatever the header', () => {
    const header = fc.oneof(
      fc.string(),
      fc.stringMatching(/^bytes=[0-9]{0,25}-[0-9]{0,25}$/),
      fc.tuple(fc.nat(200), fc.nat(200)).map(([a, b]) => `bytes=${a}-${b}`),
    );
    fc.assert(
      fc.property(header, fc.nat(100), (text, size) => {
        const answer = parseRange(text, size);
        if (answer.kind !== 'part') return;
        const { offset, length } = answer.extent;
        expect(offset).toBeGreaterThanOrEqual(0);
        expect(length).toBeGreaterThan(0);
        expect(offset + length).toBeLessThanOrEqual(size);
      }),
    );
  });
});

describe('namesTag', () => {
  it.each([
    [undefined, false],
    ['"a"', true],
    ['W/"a"', true],
    ['"b", "a"', true],
    ['"b" , W/"a"', true],
    ['*', true],
    ['"b"', false],
    ['a', false],
    ['', false],
    ['"A"', false],
  ])('If-None-Match: %j', (header, expected) => {
    expect(namesTag(header, '"a"')).toBe(expected);
  });
});

// RFC 9110, section 13.1.5: the strong comparison, and one tag only.
describe('matchesIfRange', () => {
  it.each([
    ['"a"', '"a"', true],
    ['"b"', '"a"', false],
    ['W/"a"', '"a"', false],
    ['*', '"a"', false],
    ['"b", "a"', '"a"', false],
    ['Wed, 21 Oct 2015 07:28:00 GMT', '"a"', false],
    ['"a"', undefined, false],
    ['', undefined, false],
  ])('If-Range: %j of %j', (header, tag, expected) => {
    expect(matchesIfRange(header, tag)).toBe(expected);
  });
});
