import { formatSeconds } from '../../core/units.js';
import type { ModelName } from '../../core/names.js';
import type { RevisionContent } from '../content-usage.js';
import type { RevisionUser } from '../revision-usage.js';
import type { StoredRevision } from '../stored-revisions.js';
import type { ModelSurvey } from './model-survey.js';

/** Who uses revisions of a model now: readers, and nodes that run them. */
export type UsersOf = (model: ModelName, revisions: readonly RevisionContent[]) => readonly RevisionUser[];

/** A revision that stays, and what it stays for. */
export interface KeptRevision {
  readonly revision: string;
  readonly reasons: readonly string[];
}

/** Which revisions of a model go, and which stay. */
export interface Choice {
  readonly expired: readonly StoredRevision[];
  readonly kept: readonly KeptRevision[];
}

/** Chooses the revisions that nothing names, nobody uses, and that are not among the `keep` newest. */
export function chooseExpired(survey: ModelSurvey, keep: number, usersOf: UsersOf): Choice {
  const { model, refs, pins, revisions, staging } = survey;
  const users = usersOf(model, contentsOf(survey));
  const expired: StoredRevision[] = [];
  const kept: KeptRevision[] = [];
  revisions.forEach((stored, index) => {
    const { revision } = stored;
    const reasons = [
      ...[...refs].filter(([, ref]) => ref.revision === revision).map(([name]) => `the ref '${name}'`),
      ...[...pins]
        .filter(([, pin]) => pin.revision === revision)
        .map(([name]) => (name === revision ? 'it is pinned' : `the pin '${name}'`)),
      ...users.filter((user) => user.revision === revision).map(describeUser),
    ];
    // Of a model that nobody sees none is the newest that anybody could want back.
    if (refs.size > 0 && index < keep) reasons.push(keep === 1 ? 'the newest' : `among the ${keep} newest`);
    if (refs.size === 0 && staging?.stale === false) reasons.push('an add of it was interrupted');
    if (reasons.length === 0) expired.push(stored);
    else kept.push({ revision, reasons });
  });
  return { expired, kept };
}

/** What the readers of a model's revisions are known by. */
export function contentsOf({ revisions, manifests }: ModelSurvey): RevisionContent[] {
  return revisions.map(({ revision, manifest }) => ({
    revision,
    manifest,
    blobs: (manifests.get(revision)?.files ?? []).map(({ blob }) => blob),
  }));
}

/** For people: `10.0.0.1 read it 3.0 s ago`. */
export function describeUser({ by, node, idleMs, open }: RevisionUser): string {
  if (node === true) return `the node ${by} runs it`;
  if (idleMs === undefined) return `${by} has a file of it open`;
  if (open > 0) return `${by} reads it`;
  return `${by} read it ${formatSeconds(idleMs / 1000)} ago`;
}
