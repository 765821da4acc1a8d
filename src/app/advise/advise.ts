import { adviseMount, type MountAdvice } from '../../placement/mount-advice/advise-mount.js';
import {
  canMount,
  NFS_VERSIONS,
  type ClientFacts,
  type LinkFacts,
  type StoreFacts,
} from '../../placement/mount-advice/client-facts.js';
import type { FailedVersion, Measurement, Measurements } from '../../placement/mount-advice/measurement.js';
import { CalyxError } from '../../core/errors.js';
import { readClientFacts } from './client-facts.js';
import { measureMounts, type MountFindings } from './measure-mounts.js';
import { firstBytesDigest, measureProtocol } from './measure-protocol.js';
import { probeLink, type StoreAddress } from './probe-link.js';
import { probeStore, type ProbedStore } from './probe-store.js';
import { surveyTree, type Survey } from './survey-tree.js';
import { systemFiles } from './system-files.js';

/** What to advise on. */
export interface AdviseOptions {
  readonly store: StoreAddress;
  /** Directory of the store that will be mounted. */
  readonly path: string;
  readonly mountPoint: string;
  /** How long measuring may take, about. */
  readonly seconds: number;
  readonly signal: AbortSignal;
  /** Told of each step. */
  readonly onProgress: (what: string, bytesPerSecond?: number) => void;
}

/** All that was found, and what to make of it. */
export interface Advised {
  readonly client: ClientFacts;
  readonly link: LinkFacts;
  readonly store: StoreFacts;
  readonly measurements: Measurements;
  readonly advice: MountAdvice;
}

/** The middle one of five is not moved by two that were disturbed. */
const ROUNDS = 5;
const DIGEST_BYTES = 2 ** 20;

/** Looks at this machine and at the store, measures what can be measured, and advises. Throws CalyxError. */
export async function advise(options: AdviseOptions): Promise<Advised> {
  const { store, path, mountPoint, signal, onProgress } = options;
  const files = systemFiles('/');
  const facts = readClientFacts(files);
  onProgress('looking at the way to the store');
  const way = await probeLink(store, files, signal);
  const probed = await probeStore(store, path, signal);
  const link = { ...way, roundTripMs: probed.roundTripMs };
  if (Object.values(probed.facts.versions).every((answer) => answer === 'no'))
    throw new CalyxError('unsupported', `${store.host}:${store.port} speaks none of NFS 3, 4.1 and 4.2`);
  const { measurements, notes, readAheadKb } = await measure(options, facts, link, probed);
  const client = { ...facts, readAheadKb };
  const advice = adviseMount({
    client,
    link,
    store: probed.facts,
    measurements,
    host: store.host,
    port: store.port,
    path,
    mountPoint,
  });
  if (advice === undefined)
    throw new CalyxError(
      'unsupported',
      `${store.host}:${store.port} and this machine have no NFS version in common`,
    );
  return {
    client,
    link,
    store: probed.facts,
    measurements,
    advice: { ...advice, warnings: [...notes, ...advice.warnings] },
  };
}

interface Measured extends Pick<MountFindings, 'notes' | 'readAheadKb'> {
  readonly measurements: Measurements;
}

/** By mounting where we may, and without it where no mount worked. */
async function measure(
  { store, path, seconds, signal, onProgress }: AdviseOptions,
  client: ClientFacts,
  link: LinkFacts,
  probed: ProbedStore,
): Promise<Measured> {
  onProgress('looking for a large file');
  const { survey, digest } = await lookAround(probed, signal);
  const { largest } = survey;
  const file = largest === undefined ? undefined : { path: `/${largest.path}`, bytes: largest.node.size };
  const common = { rounds: ROUNDS, signal, onRound: onProgress };
  const results: Measurement[] = [];
  const failed: FailedVersion[] = [];
  let mounted: MountFindings | undefined;
  if (client.mayMount && NFS_VERSIONS.some((version) => canMount(client, version))) {
    const totalMs = seconds * 1000;
    mounted = await measureMounts({
      ...common,
      client,
      link,
      storeFacts: probed.facts,
      ping: (stop) => probed.ping(stop),
      store,
      path,
      survey,
      digest,
      totalMs,
    });
    results.push(...mounted.results);
    failed.push(...mounted.failed);
  }
  if (results.length === 0) {
    const roundMs = (seconds * 1000) / (2 * (ROUNDS + 1));
    const spoken = await measureProtocol(probed, survey, { ...common, roundMs });
    results.push(...spoken.results);
    failed.push(...spoken.failed);
  }
  return {
    measurements: { file, results, failed },
    notes: mounted?.notes ?? [],
    readAheadKb: mounted?.readAheadKb,
  };
}

async function lookAround(
  probed: ProbedStore,
  signal: AbortSignal,
): Promise<{ survey: Survey; digest: string }> {
  const reader = await probed.open(probed.facts.versions['4.1'] === 'no' ? '3' : '4.1', signal);
  try {
    const survey = await surveyTree(reader, signal);
    const { largest } = survey;
    const digest = largest === undefined ? '' : await firstBytesDigest(reader, largest, DIGEST_BYTES, signal);
    return { survey, digest };
  } finally {
    await reader.close();
  }
}
