import type { StoreDescription } from '../../store/describe-store.js';
import { note, ok, problem, warning, type Verdict } from '../finding.js';
import { moment } from '../time-text.js';
import { compareVersions } from './store-version.js';

/** Whether a store runs on a data directory. */
export type RunningFacts =
  | { readonly kind: 'runs'; readonly description: StoreDescription }
  | { readonly kind: 'none' }
  /** It runs, or may, but does not tell how. */
  | { readonly kind: 'untold'; readonly why: string };

/** A store renews its certificate a month before it ends. */
const SOON_MS = 7 * 86_400_000;

/** Whether a store runs here, with which version, and for how long its certificate is good. */
export function checkRunningStore(facts: RunningFacts, root: string, own: string, now: number): Verdict[] {
  if (facts.kind === 'none') return [note(`no store runs on ${root}`, `calyx store --data ${root}`)];
  if (facts.kind === 'untold')
    return [
      note(
        `how a store runs on ${root} could not be asked: ${facts.why}`,
        'run calyx doctor as the user whom the store runs as',
      ),
    ];
  const { url, version, certificateNotAfter, secured } = facts.description;
  const verdicts = [compareVersions(own, `the store at ${url}`, version)];
  if (!secured) return verdicts;
  const until = `the certificate of the store at ${url} is good until ${moment(certificateNotAfter)}`;
  const again = 'start the store again, which makes a new one';
  if (certificateNotAfter <= now) return [...verdicts, problem(`${until}: it is over`, again)];
  return [...verdicts, certificateNotAfter - now < SOON_MS ? warning(until, again) : ok(until)];
}
