import { readFileSync } from 'node:fs';
import { errorMessage } from '../../core/errors.js';
import {
  canMount,
  kernelAtLeast,
  NFS_VERSIONS,
  type ClientFacts,
  type LinkFacts,
  type NfsVersion,
  type StoreFacts,
} from '../../placement/mount-advice/client-facts.js';
import { chooseConnections } from '../../placement/mount-advice/choose-connections.js';
import { chooseVersion } from '../../placement/mount-advice/choose-version.js';
import type { FailedVersion, Measurement, Trial } from '../../placement/mount-advice/measurement.js';
import { mountSource } from '../../placement/mount-advice/mount-commands.js';
import { mountOptions, optionString } from '../../placement/mount-advice/mount-options.js';
import type { StoreAddress } from './probe-link.js';
import type { RoundResult } from './round-job.js';
import { RoundRunner } from './run-round.js';
import type { Survey } from './survey-tree.js';

/** What measuring by mounts needs to know. */
export interface MountRounds {
  readonly client: ClientFacts;
  readonly link: LinkFacts;
  readonly storeFacts: StoreFacts;
  readonly store: StoreAddress;
  /** Directory of the store that is mounted. */
  readonly path: string;
  readonly survey: Survey;
  /** Of the first MiB of the file, as the store sent it to our own client. */
  readonly digest: string;
  readonly rounds: number;
  /** For all of it, about. */
  readonly totalMs: number;
  readonly signal: AbortSignal;
  /** Rejects if the store does not answer any more. */
  readonly ping: (signal: AbortSignal) => Promise<void>;
  readonly onRound: (what: string, bytesPerSecond: number) => void;
}

/** What mounting showed. */
export interface MountFindings {
  readonly results: readonly Measurement[];
  readonly failed: readonly FailedVersion[];
  /** What mounts read ahead here unless told otherwise. */
  readonly readAheadKb: number | undefined;
  readonly notes: readonly string[];
}

const CONNECTIONS = [1, 4] as const;
/** More than so many cores can keep more connections busy. */
const MANY_CORES = 8;
const MANY_CONNECTIONS = 8;
const READ_AHEAD_KB = [128, 1024, 4096, 16_384] as const;
/** So that what a stream reaches is not bounded by it. */
const STREAM_READ_AHEAD_KB = 16_384;
/** For reading alone, in a round. */
const MIN_ROUND_MS = 150;
const MAX_ROUND_MS = 5_000;
const FIRST_ROUND_MS = 1_000;
/** A round reads what the first one could in its time; a much slower way is cut off. */
const SLOWER = 4;
/** Fewer have no middle. */
const MIN_ROUNDS = 3;
/** Of the time, for what decides about the version. */
const STREAM_SHARE = 0.65;
/** Less is read before a connection has come to its speed. */
const MIN_ROUND_BYTES = 64 * 2 ** 20;

/** Measures by mounting: versions and connections in turns, then read-ahead with the best of them. */
export async function measureMounts(options: MountRounds): Promise<MountFindings> {
  const { client, link, storeFacts, survey, rounds, totalMs, signal } = options;
  const versions = NFS_VERSIONS.filter(
    (version) => canMount(client, version) && storeFacts.versions[version] !== 'no',
  );
  const streams = versions.flatMap((version) =>
    connectionCounts(client).map((connections): Trial => ({
      version,
      by: 'mount',
      connections,
      readAheadKb: STREAM_READ_AHEAD_KB,
      reads: 'stream',
    })),
  );
  if (survey.largest === undefined || streams.length === 0)
    return { results: [], failed: [], readAheadKb: undefined, notes: [] };
  const runs = (streams.length + READ_AHEAD_KB.length) * rounds;
  const session = new MountSession(options);
  try {
    await session.warmUp(streams, totalMs / (runs + 1));
    await session.inTurns(streams, performance.now() + totalMs * STREAM_SHARE);
    const chosen = chooseVersion(session.results(), versions);
    if (chosen !== undefined && session.results().length > 0) {
      const connections = chooseConnections(client, link, chosen.version, session.results()).value;
      await session.inTurns(
        READ_AHEAD_KB.map((readAheadKb) => ({
          version: chosen.version,
          by: 'mount',
          connections,
          readAheadKb,
          reads: 'small',
        })),
        performance.now() + totalMs * (1 - STREAM_SHARE),
      );
    }
    signal.throwIfAborted();
    return {
      results: session.results(),
      failed: session.failed,
      readAheadKb: session.foundReadAheadKb,
      notes: otherMounts(link.address),
    };
  } finally {
    await session.close();
  }
}

function connectionCounts({ kernel, cores }: ClientFacts): number[] {
  if (!kernelAtLeast(kernel, 5, 3)) return [1];
  return cores >= MANY_CORES ? [...CONNECTIONS, MANY_CONNECTIONS] : [...CONNECTIONS];
}

/** Rounds of several trials on one mount point. */
class MountSession {
  readonly failed: FailedVersion[] = [];
  foundReadAheadKb: number | undefined;
  readonly #options: MountRounds;
  #roundMs = FIRST_ROUND_MS;
  readonly #runner = new RoundRunner();
  readonly #measured = new Map<Trial, { rounds: number[]; attributeRounds: number[] }>();
  /** How much each round reads, from the start of the file. */
  #bytes: number;

  constructor(options: MountRounds) {
    this.#options = options;
    this.#bytes = options.survey.largest?.node.size ?? 0;
  }

  /**
   * Brings the bytes into the store's memory, so that all rounds find them there, and finds how many a round can read that takes
   * `wholeMs` with all that is around the reading.
   */
  async warmUp(trials: readonly Trial[], wholeMs: number): Promise<void> {
    for (const trial of trials) {
      const start = performance.now();
      const result = await this.#try(trial, FIRST_ROUND_MS);
      if (result === undefined) continue;
      const around = performance.now() - start - result.seconds * 1000;
      this.#roundMs = Math.min(MAX_ROUND_MS, Math.max(MIN_ROUND_MS, wholeMs - around));
      const readable = (result.bytes / result.seconds) * (this.#roundMs / 1000);
      // What the first round did not read may not be in the store's memory.
      this.#bytes = Math.ceil(Math.min(result.bytes, Math.max(MIN_ROUND_BYTES, readable)));
      this.foundReadAheadKb = result.foundReadAheadKb;
      return;
    }
  }

  /** Every trial once in each round; every other round the other way round. After `deadline` no round begins but the first ones. */
  async inTurns(trials: readonly Trial[], deadline: number): Promise<void> {
    for (let round = 0; round < this.#options.rounds; round += 1) {
      if (round >= MIN_ROUNDS && performance.now() > deadline) return;
      for (const trial of round % 2 === 0 ? trials : trials.toReversed()) {
        if (this.failed.some(({ version }) => version === trial.version)) continue;
        const result = await this.#try(trial, this.#roundMs * SLOWER);
        if (result === undefined) continue;
        const speed = result.bytes / result.seconds;
        const kept = this.#measured.get(trial) ?? { rounds: [], attributeRounds: [] };
        this.#measured.set(trial, kept);
        kept.rounds.push(speed);
        if (result.attributesPerSecond !== undefined) kept.attributeRounds.push(result.attributesPerSecond);
        this.#options.onRound(describeTrial(trial), speed);
      }
    }
  }

  /** Of the versions that did not fail. */
  results(): Measurement[] {
    return [...this.#measured]
      .filter(([{ version }]) => this.failed.every((each) => each.version !== version))
      .map(([trial, kept]) => ({ trial, ...kept }));
  }

  close(): Promise<void> {
    return this.#runner.close();
  }

  /** One round; a version that fails is not tried again. Throws if it failed because the store is gone. */
  async #try(trial: Trial, ms: number): Promise<RoundResult | undefined> {
    const { version } = trial;
    try {
      const result = await this.#runner.run(this.#job(trial, ms), this.#options.signal);
      if (result.digest === this.#options.digest) return result;
      this.failed.push({ version, by: 'mount', reason: 'it reads other bytes than the store has' });
    } catch (error) {
      this.#options.signal.throwIfAborted();
      await this.#options.ping(this.#options.signal);
      this.failed.push({ version, by: 'mount', reason: errorMessage(error) });
    }
    return undefined;
  }

  #job({ version, connections, readAheadKb, reads }: Trial, ms: number): Parameters<RoundRunner['run']>[0] {
    const { store, path, link, client, survey, storeFacts } = this.#options;
    const security = storeFacts.tls === 'required' ? 'tls' : undefined;
    const options = [
      optionString(mountOptions({ version, port: store.port, connections, security })),
      // A mount that is there already would lend its pages.
      'nosharecache',
      ...(client.mountHelper ? ['retry=0'] : kernelOptions(version, link)),
    ];
    return {
      source: mountSource(store.host, path),
      options: options.join(','),
      helper: client.mountHelper,
      file: survey.largest?.path ?? '',
      reads,
      readAheadKb,
      attributes: reads === 'stream' ? survey.some.map((file) => file.path) : [],
      bytes: this.#bytes,
      ms,
    };
  }
}

/** What mount.nfs would have found out for the kernel. */
function kernelOptions(version: NfsVersion, { address, localAddress }: LinkFacts): string[] {
  return version === '3'
    ? [`addr=${address}`, `mountaddr=${address}`]
    : [`addr=${address}`, `clientaddr=${localAddress}`];
}

/** A trial in a few words. */
function describeTrial({ version, connections, readAheadKb, reads }: Trial): string {
  const settings = reads === 'stream' ? `nconnect=${connections}` : `read_ahead_kb=${readAheadKb ?? ''}`;
  return `${version} ${settings}`;
}

/** Mounts of one version and server share their connections, so the first one decides how many there are. */
function otherMounts(address: string): string[] {
  const lines = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const shared = lines.some((line) => / nfs4? /.test(line) && line.includes(`addr=${address}`));
  return shared
    ? [
        'this machine has a mount from the same store; mounts share connections, so nconnect could not be compared. Unmount it and run this again',
      ]
    : [];
}
