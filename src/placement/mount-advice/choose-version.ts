import { NFS_VERSIONS, type NfsVersion } from './client-facts.js';
import { formatSpeed, speedOf, type Measurement, type MeasuredBy } from './measurement.js';

/** Figures closer than this are one figure: repeated runs on one idle machine differ by as much. */
export const NOISE = 0.04;

/** A version with the best that it reached. */
export interface VersionSpeed {
  readonly version: NfsVersion;
  readonly by: MeasuredBy;
  readonly bytesPerSecond: number;
  /** With how many connections. */
  readonly connections: number;
}

/** Which version, and why. */
export interface VersionChoice {
  readonly version: NfsVersion;
  readonly why: string;
  /** All that were measured, fastest first. */
  readonly speeds: readonly VersionSpeed[];
}

const WHY_NEWER =
  'it needs one port and no lock or mount protocol beside it, and its sessions tell the store which files are open';

/**
 * The version that was measured as fastest in streaming reads. Those within the noise of it count as equally fast; of them the newest is
 * taken. Figures of mounts count alone if there are any, because they are what programs will see.
 *
 * @param possible the versions that the kernel and the store have, for when nothing was measured
 */
export function chooseVersion(
  results: readonly Measurement[],
  possible: readonly NfsVersion[],
): VersionChoice | undefined {
  const speeds = withTwin(versionSpeeds(results), possible);
  const fastest = speeds[0];
  if (fastest === undefined) {
    const version = NFS_VERSIONS.find((each) => possible.includes(each));
    if (version === undefined) return undefined;
    return { version, why: `no speed was measured; the newest that both sides have: ${WHY_NEWER}`, speeds };
  }
  const equals = speeds.filter(
    ({ bytesPerSecond }) => bytesPerSecond >= fastest.bytesPerSecond * (1 - NOISE),
  );
  const chosen = NFS_VERSIONS.map((version) => equals.find((each) => each.version === version)).find(
    (each) => each !== undefined,
  );
  const { version, bytesPerSecond } = chosen ?? fastest;
  const figures = speeds.map((each) => `${each.version}: ${formatSpeed(each.bytesPerSecond)}`).join(', ');
  if (speeds.length === 1)
    return { version, why: `the only one that could be measured (${formatSpeed(bytesPerSecond)})`, speeds };
  if (equals.length === 1) return { version, why: `measured as fastest (${figures})`, speeds };
  const within = `as fast as the fastest within ${NOISE * 100} % (${figures})`;
  return { version, why: `${within}, and the newest of these: ${WHY_NEWER}`, speeds };
}

/** Without a mount a READ of 4.2 is the very request of 4.1: what one reaches the other does. */
function withTwin(speeds: readonly VersionSpeed[], possible: readonly NfsVersion[]): VersionSpeed[] {
  const measured = speeds.find(({ version, by }) => version === '4.1' && by === 'protocol');
  if (measured === undefined || !possible.includes('4.2')) return [...speeds];
  return speeds.flatMap((each) =>
    each === measured ? [{ ...each, version: '4.2' as const }, each] : [each],
  );
}

/** The best of each version in streaming reads, fastest first. */
function versionSpeeds(results: readonly Measurement[]): VersionSpeed[] {
  const streams = results.filter(({ trial, rounds }) => trial.reads === 'stream' && rounds.length > 0);
  const mounted = streams.filter(({ trial }) => trial.by === 'mount');
  const best = new Map<NfsVersion, VersionSpeed>();
  for (const measurement of mounted.length > 0 ? mounted : streams) {
    const { version, by, connections } = measurement.trial;
    const bytesPerSecond = speedOf(measurement);
    if (bytesPerSecond > (best.get(version)?.bytesPerSecond ?? 0))
      best.set(version, { version, by, bytesPerSecond, connections });
  }
  return [...best.values()].sort((a, b) => b.bytesPerSecond - a.bytesPerSecond);
}
