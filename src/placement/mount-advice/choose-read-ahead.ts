import { chooseMeasured, type SettingChoice } from './choose-smallest.js';
import type { ClientFacts, LinkFacts, NfsVersion } from './client-facts.js';
import { speedOf, type Measurement } from './measurement.js';

/** Several READs of 1 MiB under way: enough for a round trip of a millisecond at 10 Gbit/s. */
const DEFAULT_KB = 4_096;
const MAX_KB = 16_384;
/** So that requests follow each other without a gap: one being answered while the next one travels. */
const ROUND_TRIPS = 2;

/** How far a mount should read ahead, in KiB. */
export function chooseReadAhead(
  facts: ClientFacts,
  link: LinkFacts,
  version: NfsVersion,
  results: readonly Measurement[],
): SettingChoice {
  const speeds = results.flatMap((measurement) => {
    const { trial, rounds } = measurement;
    return trial.by === 'mount' &&
      trial.version === version &&
      trial.reads === 'small' &&
      trial.readAheadKb !== undefined &&
      rounds.length > 0
      ? [{ value: trial.readAheadKb, bytesPerSecond: speedOf(measurement) }]
      : [];
  });
  const measured = chooseMeasured(
    speeds,
    'mapped files and small reads follow it; the smallest that reaches the fastest',
  );
  if (measured !== undefined) return measured;
  const value = Math.max(DEFAULT_KB, needed(link));
  const standard = facts.readAheadKb === undefined ? '' : ` (now ${facts.readAheadKb})`;
  return {
    value,
    why: `not measured; mapped files and small reads follow it, and the kernel's own value is too small${standard}`,
    speeds,
  };
}

/** What is under way at full speed during two round trips, as a power of two. */
function needed({ speedMbit, roundTripMs }: LinkFacts): number {
  if (speedMbit === undefined || !(roundTripMs > 0)) return 0;
  const kib = ((speedMbit * 1e6) / 8 / 1024) * (roundTripMs / 1000) * ROUND_TRIPS;
  return Math.min(MAX_KB, 2 ** Math.ceil(Math.log2(Math.max(1, kib))));
}
