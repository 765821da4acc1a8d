import { open } from 'node:fs/promises';
import { systemCode } from '../../../core/errors.js';
import { whyHidden } from './file-facts.js';

/** Reads a small file, whatever its permissions are; undefined if it is not there. */
export async function readSmall(
  path: string,
  maxBytes: number,
): Promise<{ readonly text: string } | { readonly why: string } | undefined> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      if (size > maxBytes) return { why: `it has ${size} bytes, more than ${maxBytes}` };
      return { text: await file.readFile('utf8') };
    } finally {
      await file.close();
    }
  } catch (error) {
    return systemCode(error) === 'ENOENT' ? undefined : { why: whyHidden(error) };
  }
}
