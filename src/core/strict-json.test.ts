import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import { parseStrictJson, type StrictJson } from './strict-json.js';

/** As JSON.parse gives it, except that no key is special: entries instead of objects. */
function plain(value: StrictJson): unknown {
  if (value instanceof Map) return { entries: [...value].map(([key, item]) => [key, plain(item)]) };
  return Array.isArray(value) ? value.map(plain) : value;
}

function viaJsonParse(text: string): unknown {
  const convert = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(convert);
    if (typeof value !== 'object' || value === null) return value;
    return { entries: Object.entries(value).map(([key, item]) => [key, convert(item)]) };
  };
  return convert(JSON.parse(text));
}

const sortEntries = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(sortEntries);
  if (typeof value !== 'object' || value === null) return value;
  const { entries } = value as { entries: [string, unknown][] };
  return {
    entries: entries
      .map(([key, item]) => [key, sortEntries(item)] as const)
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  };
};

describe('parseStrictJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 6, stringUnit: 'binary' }),
        fc.constantFrom(0, 1, '\t'),
        (text, space) => {
          const document = JSON.stringify(JSON.parse(text), null, space);
          // JSON.parse puts names like "7" first, so the order of names is left out of the comparison.
          expect(sortEntries(plain(parseStrictJson(document, 'x')))).toEqual(
            sortEntries(viaJsonParse(document)),
          );
        },
      ),
      { numRuns: 500 },
    );
  });

  it('accepts and refuses the same cut and garbled documents as JSON.parse, except for repeated names', () => {
    const garbled = fc
      .tuple(
        fc.json({ maxDepth: 3 }),
        fc.nat(),
        fc.constantFrom('', '"', '\\', ',', '}', ']', ':', '0', '-', 'e', '\n'),
      )
      .map(
        ([text, at, piece]) =>
          text.slice(0, at % (text.length + 1)) + piece + text.slice((at % (text.length + 1)) + 1),
      );
    fc.assert(
      fc.property(garbled, (text) => {
        let expected: unknown;
        let valid = true;
        try {
          expected = viaJsonParse(text);
        } catch {
          valid = false;
        }
        try {
          const value = sortEntries(plain(parseStrictJson(text, 'x')));
          expect(valid).toBe(true);
          expect(value).toEqual(sortEntries(expected));
        } catch (error) {
          if (!valid || String(error).includes('appears twice')) expect(String(error)).toContain('x: ');
          else throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ['a repeated name', '{"a":1,"a":2}', 'the name "a" appears twice'],
    ['a repeated name in an inner object', '{"t":{"b":1,"b":1}}', 'the name "b" appears twice'],
    ['a name repeated by way of an escape', '{"a":1,"\\u0061":2}', 'the name "a" appears twice'],
    ['__proto__ twice', '{"__proto__":1,"__proto__":2}', 'the name "__proto__" appears twice'],
    ['nothing', '', 'cut off or not valid'],
    ['text after the end', '{} {}', 'after the end'],
    ['a cut string', '{"abc', 'string is cut off'],
    ['a cut object', '{"a":1', "',' or '}'"],
    ['a cut array', '[1', "',' or ']'"],
    ['a comma too many in an object', '{"a":1,}', 'name or string is missing'],
    ['a comma too many in an array', '[1,]', 'not valid'],
    ['a missing colon', '{"a" 1}', "':' is missing"],
    ['a name without quotes', '{a:1}', 'name or string is missing'],
    ['single quotes', "{'a':1}", 'name or string is missing'],
    ['a leading zero', '[01]', "',' or ']'"],
    ['a plus sign', '[+1]', 'not valid'],
    ['NaN', '[NaN]', 'not valid'],
    ['a point without digits', '[1.]', "',' or ']'"],
    ['hexadecimal', '[0x10]', "',' or ']'"],
    ['a raw line break in a string', '"a\nb"', 'string is cut off or not valid'],
    ['an unknown escape', '"\\x41"', 'string is cut off or not valid'],
    ['a short unicode escape', '"\\u12"', 'string is cut off or not valid'],
    ['a byte order mark', '\ufeff{}', 'not valid'],
    ['a comment', '{} // x', 'after the end'],
    ['a no-break space', '\u00a0{}', 'not valid'],
  ])('refuses %s', async (_, text, says) => {
    await expectError(
      () => parseStrictJson(text, 'the file'),
      'invalid-model',
      'the file: ',
      says,
      /character \d+/,
    );
  });

  it('refuses deep nesting of either kind without running out of stack', async () => {
    for (const text of ['['.repeat(1_000_000), '{"a":'.repeat(1_000_000)])
      await expectError(() => parseStrictJson(text, 'f'), 'invalid-model', 'nested too deeply');
    const allowed = 32;
    expect(parseStrictJson('['.repeat(allowed) + ']'.repeat(allowed), 'f')).toBeInstanceOf(Array);
  });

  it('keeps __proto__ and constructor as plain names', () => {
    const value = parseStrictJson('{"__proto__":{"polluted":true},"constructor":1}', 'f');
    expect(plain(value)).toEqual({
      entries: [
        ['__proto__', { entries: [['polluted', true]] }],
        ['constructor', 1],
      ],
    });
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('reads a string of 60 million characters', () => {
    const text = `{"${'x'.repeat(60_000_000)}":1}`;
    const value = parseStrictJson(text, 'f');
    expect(value instanceof Map && [...value.keys()][0]?.length).toBe(60_000_000);
  });
});
