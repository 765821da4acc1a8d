import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** What the machine tells of itself in small files; below another root in tests. */
export interface SystemFiles {
  readonly root: string;
  /** Undefined if it cannot be read. */
  text(path: string): string | undefined;
  bytes(path: string): Buffer | undefined;
  exists(path: string): boolean;
}

/** The files below `root`. */
export function systemFiles(root: string): SystemFiles {
  const bytes = (path: string): Buffer | undefined => {
    try {
      return readFileSync(join(root, path));
    } catch {
      return undefined;
    }
  };
  return {
    root,
    bytes,
    text: (path) => bytes(path)?.toString('utf8'),
    exists: (path) => existsSync(join(root, path)),
  };
}
