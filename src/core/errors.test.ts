import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../test/support/directories.js';
import { CalyxError, errorMessage, fileError, isCalyxError, systemCode, type ErrorCode } from './errors.js';

const systemError = (code: string): Error => Object.assign(new Error(`${code}: raw`), { code });

describe('fileError', () => {
  it.each<[string, ErrorCode, string]>([
    ['ENOENT', 'not-found', 'no such file or directory'],
    ['ENOTDIR', 'not-found', 'not a directory'],
    ['EISDIR', 'unreadable', 'it is a directory'],
    ['EACCES', 'unreadable', 'permission denied'],
    ['EPERM', 'unreadable', 'not permitted'],
    ['EROFS', 'unreadable', 'read-only'],
    ['EIO', 'unreadable', 'I/O error'],
    ['EMFILE', 'unavailable', 'too many open files'],
    ['ENOSPC', 'disk-full', 'no space left'],
    ['EDQUOT', 'disk-full', 'quota'],
    ['EFBIG', 'disk-full', 'a file that large'],
  ])('%s is %s', (system, code, reason) => {
    const cause = systemError(system);
    const error = fileError(cause, 'cannot read', '/a/b');
    expect(error.code).toBe(code);
    expect(error.message).toContain('cannot read /a/b: ');
    expect(error.message).toContain(reason);
    expect(error.hint).not.toBeUndefined();
    expect(error.cause).toBe(cause);
  });

  it('passes on what is unknown with its own words', () => {
    const error = fileError(systemError('EWEIRD'), 'cannot open', '/x');
    expect(error.code).toBe('unreadable');
    expect(error.message).toBe('cannot open /x: EWEIRD: raw');
    expect(fileError('text', 'cannot open', '/x').message).toBe('cannot open /x: text');
  });

  it('leaves a CalyxError as it is', () => {
    const error = new CalyxError('changed', 'm', { hint: 'h' });
    expect(fileError(error, 'cannot read', '/x')).toBe(error);
  });

  it('explains what the system really throws', async () => {
    const directory = testDirectory();
    await mkdir(join(directory, 'd'));
    const failed = async (path: string): Promise<ErrorCode> =>
      readFile(path).then(
        () => 'internal',
        (error: unknown) => fileError(error, 'cannot read', path).code,
      );
    expect(await failed(join(directory, 'missing'))).toBe('not-found');
    expect(await failed(join(directory, 'd'))).toBe('unreadable');
    expect(await failed('/proc/self/status/x')).toBe('not-found');
  });
});

describe('helpers', () => {
  it('tells errors apart by their codes', () => {
    const error = new CalyxError('busy', 'm');
    expect(isCalyxError(error)).toBe(true);
    expect(isCalyxError(error, 'busy', 'timeout')).toBe(true);
    expect(isCalyxError(error, 'timeout')).toBe(false);
    expect(isCalyxError(new Error('m'))).toBe(false);
    expect(error.hint).toBeUndefined();
    expect('cause' in error).toBe(false);
  });

  it('reads messages and system codes of anything', () => {
    expect(errorMessage(new Error('m'))).toBe('m');
    expect(errorMessage(7)).toBe('7');
    expect(systemCode(systemError('EPIPE'))).toBe('EPIPE');
    expect([null, undefined, 'x', {}, { code: 5 }].map(systemCode)).toEqual(Array(5).fill(undefined));
  });
});
