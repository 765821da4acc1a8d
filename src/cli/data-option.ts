import { resolve } from 'node:path';
import { StoreLayout } from '../catalog/store-layout.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

/** The option of commands that work on a store's data directory. */
export const DATA_OPTION = [
  '--data <directory>',
  "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
] as const;

/** The data directory that `--data` or the environment names. */
export function chosenLayout(data: string | undefined): StoreLayout {
  return new StoreLayout(resolve(chosenDirectory(data, defaultDataDirectory)));
}
