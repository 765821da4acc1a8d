import type { NfsVersion } from './client-facts.js';

/** How a figure came about: by the kernel's own client, or by speaking the protocol without it. */
export type MeasuredBy = 'mount' | 'protocol';

/** What was the same in all rounds of one figure. */
export interface Trial {
  readonly version: NfsVersion;
  readonly by: MeasuredBy;
  /** TCP connections. */
  readonly connections: number;
  /** Of the mount; undefined without one. */
  readonly readAheadKb: number | undefined;
  /**
   * `stream`: reads of 1 MiB and more, one after the other. `small`: of 128 KiB, which the kernel turns into what read_ahead_kb
   * allows, as it does with the page faults of mapped files.
   */
  readonly reads: 'stream' | 'small';
}

/** Reading one file in the way of a trial. */
export interface Measurement {
  readonly trial: Trial;
  /** Bytes per second of each round. */
  readonly rounds: readonly number[];
  /** File attributes asked for per second, of each round that asked. */
  readonly attributeRounds: readonly number[];
}

/** A version that could not be measured. */
export interface FailedVersion {
  readonly version: NfsVersion;
  readonly by: MeasuredBy;
  readonly reason: string;
}

/** All that was measured in one run. */
export interface Measurements {
  /** What was read, and how much of it at most in each round. */
  readonly file: { readonly path: string; readonly bytes: number } | undefined;
  readonly results: readonly Measurement[];
  readonly failed: readonly FailedVersion[];
}

/** The middle of the values, the mean of the two in the middle, or undefined if there are none. */
export function median(values: readonly number[]): number | undefined {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  if (upper === undefined) return undefined;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[(sorted.length >> 1) - 1] ?? upper)) / 2;
}

/** Bytes per second of a measurement, 0 if no round ended. */
export function speedOf(measurement: Measurement): number {
  return median(measurement.rounds) ?? 0;
}

/** `843 MB/s` or `0.8 MB/s`, in the units of links and disks: 10^6 bytes. */
export function formatSpeed(bytesPerSecond: number): string {
  const megabytes = bytesPerSecond / 1e6;
  return `${megabytes >= 10 ? Math.round(megabytes).toLocaleString('en') : megabytes.toFixed(1)} MB/s`;
}
