import { isHidden, type SeenFile } from '../facts/file-facts.js';
import { ok, problem, unseen, type Verdict } from '../finding.js';
import { shellQuote } from '../../../core/shell-quote.js';
import { checkPrivateFiles } from './private-files.js';

/** What `calyx join` has kept. */
export interface JoinedFiles {
  /** With the token. */
  readonly cluster: SeenFile | undefined;
  /** The certificate of the cluster, which others may read. */
  readonly ca: SeenFile | undefined;
  /** Who may own them; undefined where users have no numbers. */
  readonly owners: readonly number[] | undefined;
  /** Why cluster.json cannot be used, though its permissions are right. */
  readonly damage?: { readonly message: string; readonly hint: string | undefined } | undefined;
}

const OTHERS_WRITE = 0o022;

/** The files of a cluster that was joined: who may read the token, and who may change what stores are known by. */
export function checkJoinedFiles({ cluster, ca, owners, damage }: JoinedFiles): Verdict[] {
  if (cluster === undefined) return [];
  const token = checkPrivateFiles({
    directory: cluster,
    files: [],
    what: 'the token of the cluster that was joined and its certificate',
    owners,
    ifRead: 'if somebody may have read it, revoke the token on the store (calyx token revoke), and join anew',
  });
  const broken = damage === undefined ? [] : [problem(damage.message, damage.hint ?? 'join again')];
  return [...token, ...broken, ...certificate(ca)].filter(
    ({ severity }, _, all) => severity !== 'ok' || all.every((each) => each.severity === 'ok'),
  );
}

function certificate(ca: SeenFile | undefined): Verdict[] {
  if (ca === undefined) return [];
  if (isHidden(ca)) return [unseen(ca.path, ca.why)];
  if ((ca.mode & OTHERS_WRITE) === 0) return [ok(`nobody else may change ${ca.path}`)];
  return [
    problem(
      `others may change ${ca.path}, by which Hub clients know the store`,
      `chmod 644 ${shellQuote(ca.path)}; then join again, which writes it anew`,
    ),
  ];
}
