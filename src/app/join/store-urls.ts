import { CalyxError } from '../../core/errors.js';

/** Where a store listens, and is looked for, unless something else is said. */
export const DEFAULT_STORE_ADDRESS = '127.0.0.1:7070';

/** The addresses in a list separated by commas; throws CalyxError `usage`. */
export function parseStoreUrls(text: string): URL[] {
  return text.split(',').map((item) => {
    const url = URL.canParse(item.trim()) ? new URL(item.trim()) : undefined;
    if (url !== undefined && (url.protocol === 'http:' || url.protocol === 'https:') && url.username === '')
      return url;
    throw new CalyxError('usage', `'${item.replace(/\/\/[^/]*@/, '//...@')}' is not the address of a store`, {
      hint: 'write http://HOST:PORT or https://HOST:PORT, several separated by commas',
    });
  });
}
