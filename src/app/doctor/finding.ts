/** How bad something is, the least first. */
export const SEVERITIES = ['ok', 'note', 'warning', 'problem'] as const;

/**
 * - `ok`: looked at, and as it should be
 * - `note`: good to know; also what could not be looked at
 * - `warning`: works now, and may fail or harm later
 * - `problem`: does not work, or lets somebody in who should not be
 */
export type Severity = (typeof SEVERITIES)[number];

/** What a check says of one thing. */
export interface Verdict {
  readonly severity: Severity;
  /** What is so, and of which thing. Never a secret. */
  readonly message: string;
  /** What to do about it. */
  readonly wayOut?: string | undefined;
}

/** What was looked at: this machine, or a store's data directory. */
export type Area = 'machine' | 'store';

/** A verdict, and which check gave it. */
export interface Finding extends Verdict {
  readonly area: Area;
  readonly check: string;
}

export function ok(message: string): Verdict {
  return { severity: 'ok', message };
}

export function note(message: string, wayOut?: string): Verdict {
  return { severity: 'note', message, wayOut };
}

export function warning(message: string, wayOut: string): Verdict {
  return { severity: 'warning', message, wayOut };
}

export function problem(message: string, wayOut: string): Verdict {
  return { severity: 'problem', message, wayOut };
}

/** For what this user, or this machine, does not let us see. */
export function unseen(what: string, why: string, wayOut?: string): Verdict {
  return note(`could not look at ${what}: ${why}`, wayOut);
}
