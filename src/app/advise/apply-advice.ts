import { readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CalyxError, fileError, systemCode } from '../../core/errors.js';
import type { MountAdvice } from '../../placement/mount-advice/advise-mount.js';
import { planFiles, type ApplyKind, type FileChange } from '../../placement/mount-advice/plan-files.js';
import { writeFileAtomically } from '../../storage/files/durable.js';
import { systemFiles } from './system-files.js';

/** What would be written, and where. */
export interface Application {
  readonly changes: readonly FileChange[];
  readonly kind: ApplyKind;
  readonly systemd: boolean;
  /** Below which the paths of the changes are. */
  readonly root: string;
}

/** What applying an advice would write below `root`; throws CalyxError `exists` for conflicts. */
export function planApplication(advice: MountAdvice, kind: ApplyKind, root: string): Application {
  const files = systemFiles(root);
  // Of a root that is not running, what is installed counts.
  const systemd = files.exists(root === '/' ? '/run/systemd/system' : '/usr/lib/systemd/systemd');
  const changes = planFiles(advice, { kind, systemd, existing: (path) => files.text(path) });
  return { changes, kind, systemd, root };
}

/**
 * Writes all changes, each file whole or not at all.
 *
 * @throws CalyxError `changed` if a file is not any more what the change was made for; nothing is written then
 */
export async function writeApplication({ changes, root }: Application): Promise<void> {
  for (const { path, before } of changes) {
    const now = await readFile(join(root, path), 'utf8').catch((error: unknown) => {
      if (systemCode(error) === 'ENOENT') return undefined;
      throw fileError(error, 'cannot read', join(root, path));
    });
    if (now !== before)
      throw new CalyxError('changed', `${join(root, path)} was changed meanwhile; nothing was written`, {
        hint: 'run it again',
      });
  }
  for (const { path, after } of changes) {
    try {
      await replaceFile(join(root, path), after);
    } catch (error) {
      throw fileError(error, 'cannot write', join(root, path));
    }
  }
}

/** Owner and mode stay, and a link stays a link. */
async function replaceFile(path: string, content: string): Promise<void> {
  const target = await realpath(path).catch(() => path);
  const known = await stat(target).catch(() => undefined);
  await writeFileAtomically(target, content, async (file) => {
    if (known === undefined) return;
    await file.chown(known.uid, known.gid);
    await file.chmod(known.mode & 0o7777);
  });
}
