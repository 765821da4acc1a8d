import { posix } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { expectError } from '../../test/support/expect-error.js';
import {
  cacheFolder,
  formatModelName,
  isRevisionId,
  modelOfCacheFolder,
  parseFilePath,
  parseModelName,
  parseModelSpec,
  parseRevision,
} from './names.js';

const LONG = 'x'.repeat(97);

/** Neither part of a model's name, nor a revision. */
const BAD_PARTS = [
  '', '.', '..', '...', '-a', 'a-', '.a', 'a.', 'a--b', 'a..b', '--', 'a b', ' a', 'a ', 'a\\b', 'a\0', 'a\n', 'a:b',
  'é', 'ａ', 'a\u200b', '🌸', '%2e%2e', 'a%2fb', '~', 'a*', '$HOME', LONG,
]; // prettier-ignore

describe('model names', () => {
  it.each([
    ['meta-llama/Llama-3.1-8B', 'meta-llama', 'Llama-3.1-8B', 'models--meta-llama--Llama-3.1-8B'],
    ['01-ai/Yi-6B', '01-ai', 'Yi-6B', 'models--01-ai--Yi-6B'],
    ['a/b', 'a', 'b', 'models--a--b'],
    ['_x_/_y_', '_x_', '_y_', 'models--_x_--_y_'],
    [`o/${'n'.repeat(96)}`, 'o', 'n'.repeat(96), `models--o--${'n'.repeat(96)}`],
  ])('reads %s', (text, org, name, folder) => {
    const model = parseModelName(text);
    expect(model).toEqual({ org, name });
    expect(formatModelName(model)).toBe(text);
    expect(cacheFolder(model)).toBe(folder);
    expect(modelOfCacheFolder(folder)).toEqual({ org, name });
  });

  it.each(BAD_PARTS)('refuses %j as either part', async (part) => {
    await expectError(() => parseModelName(`org/${part}`), 'usage', 'not a model name', 'ORG/NAME');
    await expectError(() => parseModelName(`${part}/name`), 'usage', 'not a model name');
    expect(modelOfCacheFolder(`models--${part}--name`)).toBeUndefined();
    expect(modelOfCacheFolder(`models--org--${part}`)).toBeUndefined();
  });

  it.each(['', 'gpt2', 'a/b/c', '/a', 'a/', '../a', '../../etc', '/etc/passwd', 'a/../b', '//'])(
    'refuses %j',
    async (text) => {
      await expectError(() => parseModelName(text), 'usage', 'not a model name');
    },
  );

  it('shortens an endless name in its error', async () => {
    const error = await expectError(() => parseModelName('y'.repeat(1_000_000)), 'usage');
    expect(error.message.length).toBeLessThan(300);
  });

  it.each(['models--a', 'datasets--a--b', 'models--a--b--c', 'models----', 'a--b', '', 'xmodels--a--b'])(
    'finds no model in the folder %j',
    (folder) => {
      expect(modelOfCacheFolder(folder)).toBeUndefined();
    },
  );
});

describe('model specs and revisions', () => {
  it('reads the revision, or main', () => {
    expect(parseModelSpec('a/b')).toEqual({ model: { org: 'a', name: 'b' }, revision: 'main' });
    expect(parseModelSpec('a/b@v1.0')).toEqual({ model: { org: 'a', name: 'b' }, revision: 'v1.0' });
  });

  it.each(['a/b@', 'a/b@..', 'a/b@../x', 'a/b@x@y', 'a/b@-x', '@main', 'a@main'])(
    'refuses %j',
    async (text) => {
      await expectError(() => parseModelSpec(text), 'usage');
    },
  );

  it.each([...BAD_PARTS, 'a/b'])('refuses %j as a revision', async (text) => {
    await expectError(() => parseRevision(text), 'usage', 'not a revision');
  });

  it('knows a revision id by its 40 hex digits', () => {
    const id = '0123456789abcdef0123456789abcdef01234567';
    expect(isRevisionId(id)).toBe(true);
    for (const other of [id.slice(1), `${id}0`, id.toUpperCase(), `${id}\n`, 'main'])
      expect(isRevisionId(other)).toBe(false);
  });
});

describe('parseFilePath', () => {
  it.each([
    'config.json',
    'a/b/c.safetensors',
    '.gitattributes',
    '..a',
    'a..',
    'モデル/é.txt',
    'a b',
    'x'.repeat(255),
  ])('takes %j as it is', (path) => {
    expect(parseFilePath(path)).toBe(path);
  });

  it.each([
    '', '.', '..', '../x', 'a/../b', 'a/..', './a', 'a/./b', 'a//b', '/a', '/', 'a/', '/etc/passwd', '\\\\host\\x',
    '..\\x', 'a\\b', 'a\0b', 'a\nb', 'a\u007fb', 'a\u001b[2J', '\ud800', 'a/\udfff', 'x'.repeat(256), 'é'.repeat(128),
    'a/'.repeat(512) + 'a',
  ])('refuses %j', async (path) => {
    await expectError(() => parseFilePath(path), 'usage', 'not a path inside a model');
  }); // prettier-ignore

  it('never lets a path out of its directory', () => {
    const segment = fc.oneof(
      fc.constantFrom('..', '.', '', '/', '\\', 'a', '...'),
      fc.string({ maxLength: 4 }),
    );
    fc.assert(
      fc.property(fc.array(segment, { maxLength: 8 }), (segments) => {
        const path = segments.join('/');
        let accepted: string;
        try {
          accepted = parseFilePath(path);
        } catch {
          return;
        }
        expect(posix.join('/root', accepted)).toBe(`/root/${path}`);
        expect(posix.resolve('/root', accepted).startsWith('/root/')).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});
