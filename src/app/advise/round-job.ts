import type { Trial } from '../../placement/mount-advice/measurement.js';

/** What the program of a round is told. */
export interface RoundJob {
  /** `HOST:PATH`. */
  readonly source: string;
  readonly options: string;
  /** Whether mount.nfs is there; else the kernel is asked directly. */
  readonly helper: boolean;
  /** An empty directory to mount on. */
  readonly directory: string;
  /** What is read, below the mounted directory. */
  readonly file: string;
  readonly reads: Trial['reads'];
  /** Set for this mount before reading; left as it is if undefined. */
  readonly readAheadKb: number | undefined;
  /** Files whose attributes are asked for afterwards. */
  readonly attributes: readonly string[];
  /** Bounds of reading. */
  readonly bytes: number;
  readonly ms: number;
}

/** What it found. */
export interface RoundResult {
  readonly bytes: number;
  readonly seconds: number;
  /** SHA-256 of the first MiB of the file. */
  readonly digest: string;
  /** What the mount had before it was set. */
  readonly foundReadAheadKb: number | undefined;
  readonly attributesPerSecond: number | undefined;
}
