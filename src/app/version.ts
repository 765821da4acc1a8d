import { readFileSync } from 'node:fs';

const packageFile = new URL('../../../package.json', import.meta.url);

/** The version of this Calyx, as its package says it. */
export const CALYX_VERSION = (JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string }).version;
