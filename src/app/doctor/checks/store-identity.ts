import { note, ok, problem, warning, type Verdict } from '../finding.js';
import { moment } from '../time-text.js';

/** What the identity of a store says. */
export type IdentityFacts =
  | { readonly kind: 'good'; readonly fingerprint: string; readonly notBefore: number; readonly notAfter: number }
  | { readonly kind: 'damaged'; readonly message: string; readonly hint: string | undefined }
  | { readonly kind: 'hidden'; readonly path: string; readonly why: string }
  | { readonly kind: 'missing'; readonly path: string }; // prettier-ignore

const SOON_MS = 90 * 86_400_000;

/** Whether the certificate of the cluster counts, and its key fits. */
export function checkStoreIdentity(facts: IdentityFacts, now: number): Verdict[] {
  switch (facts.kind) {
    case 'missing':
      return [
        note(`this store has no identity yet (${facts.path})`, 'calyx store makes one when it starts first'),
      ];
    case 'hidden':
      return [
        note(
          `could not look at ${facts.path}: ${facts.why}`,
          'run calyx doctor as the user whom the store runs as',
        ),
      ];
    case 'damaged':
      return [problem(facts.message, facts.hint ?? 'restore it from a backup')];
    case 'good': {
      const { fingerprint, notBefore, notAfter } = facts;
      const name = `the certificate of the cluster (${fingerprint})`;
      if (now < notBefore)
        return [problem(`${name} is not good before ${moment(notBefore)}`, 'set the clock of this machine right')];
      if (now >= notAfter)
        return [
          problem(
            `${name} ended at ${moment(notAfter)}`,
            'if the clock is right: stop the store, put .calyx/cluster aside, start it, and let everybody join anew',
          ),
        ];
      if (notAfter - now < SOON_MS)
        return [warning(`${name} ends at ${moment(notAfter)}`, 'plan a new identity: everybody has to join anew')];
      return [ok(`${name} counts, and its key fits`)];
    }
  }
} // prettier-ignore
