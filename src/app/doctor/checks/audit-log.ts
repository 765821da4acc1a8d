import { shellQuote } from '../../../core/shell-quote.js';
import { formatSize } from '../../../core/units.js';
import { note, ok, problem, unseen, warning, type Verdict } from '../finding.js';
import { isHidden, type SeenFile } from '../facts/file-facts.js';

/** The audit log, and those that were put aside. */
export interface AuditFacts {
  readonly path: string;
  readonly files: readonly SeenFile[];
  /** Undefined if that cannot be known: by whom the store runs as somebody else than us. */
  readonly writable: boolean | undefined;
}

/** Five files of 16 MiB are kept, and one may be a little larger. */
const EXPECTED_BYTES = 100 * 2 ** 20;

/** Whether the log can be written, and has not outgrown what it should. */
export function checkAuditLog({ path, files, writable }: AuditFacts): Verdict[] {
  if (files.length === 0) return [note(`there is no audit log yet (${path})`)];
  const [hidden] = files.filter(isHidden);
  if (hidden !== undefined) return [unseen(hidden.path, hidden.why)];
  const strange = files.find((file) => !isHidden(file) && file.kind !== 'file');
  if (strange !== undefined)
    return [problem(`${strange.path} is no file, so nothing can be logged`, `remove ${shellQuote(strange.path)}`)];
  if (writable === false)
    return [
      problem(
        `the audit log cannot be written: ${path}`,
        `chmod 600 ${shellQuote(path)}, and see that its file system is not read-only`,
      ),
    ];
  const bytes = files.reduce((sum, file) => sum + (isHidden(file) ? 0 : file.size), 0);
  return bytes > EXPECTED_BYTES
    ? [
        warning(
          `the audit log has grown to ${formatSize(bytes)}: ${path}`,
          'look what fills it, and remove files that were put aside by others (audit.log.*)',
        ),
      ]
    : [ok(`the audit log has ${formatSize(bytes)}${writable === true ? ' and can be written' : ''}`)];
} // prettier-ignore
