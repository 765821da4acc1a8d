import { note, ok, problem, warning, type Verdict } from '../finding.js';
import { moment, span } from '../time-text.js';

/** When a certificate counts, in milliseconds since 1970. */
export interface Validity {
  /** Whose it is, as in `the certificate of ...`. */
  readonly of: string;
  readonly notBefore: number;
  readonly notAfter: number;
}

/** What is known of the time. */
export interface ClockFacts {
  readonly now: number;
  /** How far this clock is before those of stores (positive: this one is ahead), in milliseconds. */
  readonly offsets: readonly { readonly server: string; readonly offsetMs: number }[];
  readonly certificates: readonly Validity[];
}

/** The header Date has whole seconds, and an answer takes a while. */
const NOTHING_MS = 30_000;
/** Certificates of a cluster begin five minutes before they are made: a clock that is later than that finds them not valid yet. */
const TOLERATED_MS = 5 * 60_000;

const WAY_OUT = 'have both clocks set by the network: timedatectl set-ntp true, or chronyd';

/** The clock of this machine, against those of stores and the certificates that are to count now. */
export function checkClock({ now, offsets, certificates }: ClockFacts): Verdict[] {
  const outside = certificates.filter(({ notBefore, notAfter }) => now < notBefore || now >= notAfter);
  const bounds = outside.map(({ of, notBefore, notAfter }) => outOfBounds(now, of, { notBefore, notAfter }, offsets));
  const verdicts = [...bounds, ...offsets.map(({ server, offsetMs }) => againstStore(server, offsetMs))];
  return verdicts.length > 0
    ? verdicts
    : [note(`the clock says ${moment(now)}; no store has told what it thinks`)];
} // prettier-ignore

function outOfBounds(
  now: number,
  of: string,
  { notBefore, notAfter }: Omit<Validity, 'of'>,
  offsets: ClockFacts['offsets'],
): Verdict {
  const early = now < notBefore;
  const distance = span(early ? notBefore - now : now - notAfter);
  const agreeing = offsets.some(({ offsetMs }) => Math.abs(offsetMs) <= TOLERATED_MS);
  const where = early
    ? `begins only at ${moment(notBefore)}, ${distance} from now`
    : `ended at ${moment(notAfter)}, ${distance} ago`;
  return problem(
    `the certificate of ${of} ${where}, by this clock (${moment(now)})`,
    agreeing && !early
      ? 'the store has the same time, so the certificate is really over: start the store again, which makes a new one'
      : `${WAY_OUT}; if they are right, start the store again, which makes a new certificate`,
  );
}

function againstStore(server: string, offsetMs: number): Verdict {
  if (Math.abs(offsetMs) <= NOTHING_MS) return ok(`the clock agrees with that of ${server}`);
  const message = `this clock is ${span(offsetMs)} ${offsetMs > 0 ? 'ahead of' : 'behind'} that of ${server}`;
  return Math.abs(offsetMs) > TOLERATED_MS
    ? warning(`${message}: certificates and tokens will seem to be over, or not yet good`, WAY_OUT)
    : note(message, WAY_OUT);
}
