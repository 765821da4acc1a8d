import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';

/**
 * Opens a file of a slice under way for reading and writing; made if it does not exist and `create` is set. A symbolic link in
 * its place is not followed: it could lead to a file that is not ours.
 */
export function openOwn(path: string, create = false): Promise<FileHandle> {
  return open(path, constants.O_RDWR | constants.O_NOFOLLOW | (create ? constants.O_CREAT : 0), 0o644);
}
