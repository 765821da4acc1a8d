import { createHash } from 'node:crypto';
import { errorMessage } from '../../core/errors.js';
import type { NfsVersion } from '../../placement/mount-advice/client-facts.js';
import type { FailedVersion, Measurement } from '../../placement/mount-advice/measurement.js';
import type { NfsReader } from '../../protocols/nfs-client/nfs-reader.js';
import type { ProbedStore } from './probe-store.js';
import type { Survey, SurveyedFile } from './survey-tree.js';

/** What a round of measuring may take, and who is told of it. */
export interface ProtocolRounds {
  readonly rounds: number;
  readonly roundMs: number;
  readonly signal: AbortSignal;
  readonly onRound: (what: string, bytesPerSecond: number) => void;
}

const READ_BYTES = 1_048_576;
/** As many as the kernel's read-ahead of 8 MiB would send. */
const IN_FLIGHT = 8;
/** Beyond the time that a round may take, for a server that stalls. */
const GRACE_MS = 10_000;
const ATTRIBUTES = 100;

/** Measures 3 and 4.1 without mounting, in turns. A READ of 4.2 is that of 4.1. */
export async function measureProtocol(
  store: ProbedStore,
  survey: Survey,
  { rounds, roundMs, signal, onRound }: ProtocolRounds,
): Promise<{ results: Measurement[]; failed: FailedVersion[] }> {
  const { largest } = survey;
  const failed: FailedVersion[] = [];
  if (largest === undefined) return { results: [], failed };
  const open = new Map<NfsReader['version'], { reader: NfsReader; speeds: number[]; attributes: number[] }>();
  try {
    for (const version of ['3', '4.1'] as const)
      if (store.facts.versions[version] !== 'no')
        await store.open(version, signal).then(
          (reader) => open.set(version, { reader, speeds: [], attributes: [] }),
          (error: unknown) => failed.push(failure(version, error)),
        );
    // The first time brings the bytes into the store's memory and does not count.
    for (let round = -1; round < rounds; round += 1)
      for (const [version, { reader, speeds, attributes }] of [...open])
        try {
          const stop = AbortSignal.any([signal, AbortSignal.timeout(Math.ceil(roundMs + GRACE_MS))]);
          const file = await find(reader, largest, stop);
          const speed = await readFor(reader, file, roundMs, stop);
          if (round < 0) continue;
          speeds.push(speed);
          attributes.push(await askAttributes(reader, file, stop));
          onRound(`${version} without a mount`, speed);
        } catch (error) {
          signal.throwIfAborted();
          failed.push(failure(version, error));
          open.delete(version);
          await reader.close();
        }
    return {
      results: [...open].map(([version, each]) => result(version, each.speeds, each.attributes)),
      failed,
    };
  } finally {
    await Promise.all([...open.values()].map(({ reader }) => reader.close()));
  }
}

/** SHA-256 of the first bytes of a file, by which mounts are compared. */
export async function firstBytesDigest(
  reader: NfsReader,
  file: SurveyedFile,
  length: number,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash('sha256');
  for (let offset = 0; offset < Math.min(length, file.node.size);) {
    const { bytes, end } = await reader.read(file.node, offset, length - offset, signal);
    hash.update(bytes);
    offset += bytes.byteLength;
    if (end || bytes.byteLength === 0) break;
  }
  return hash.digest('hex');
}

/** Handles of one version need not be those of another. */
async function find(reader: NfsReader, file: SurveyedFile, signal: AbortSignal): Promise<SurveyedFile> {
  let node = reader.root;
  for (const name of file.path.split('/')) node = await reader.lookup(node, name, signal);
  return { path: file.path, node };
}

/** Bytes per second of reading from the start, `IN_FLIGHT` reads under way, until the file or the time ends. */
async function readFor(
  reader: NfsReader,
  { node }: SurveyedFile,
  ms: number,
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now();
  let next = 0;
  let bytes = 0;
  const readOn = async (): Promise<void> => {
    while (next < node.size && performance.now() - start < ms) {
      const offset = next;
      next += READ_BYTES;
      const read = await reader.read(node, offset, Math.min(READ_BYTES, node.size - offset), signal);
      bytes += read.bytes.byteLength;
    }
  };
  await Promise.all(Array.from({ length: Math.min(IN_FLIGHT, reader.maxInFlight) }, readOn));
  return bytes / ((performance.now() - start) / 1000);
}

async function askAttributes(
  reader: NfsReader,
  { node }: SurveyedFile,
  signal: AbortSignal,
): Promise<number> {
  const start = performance.now();
  for (let count = 0; count < ATTRIBUTES; count += 1) await reader.attributes(node, signal);
  return ATTRIBUTES / ((performance.now() - start) / 1000);
}

function result(
  version: NfsVersion,
  rounds: readonly number[],
  attributeRounds: readonly number[],
): Measurement {
  const trial = { version, by: 'protocol', connections: 1, readAheadKb: undefined, reads: 'stream' } as const;
  return { trial, rounds, attributeRounds };
}

function failure(version: NfsVersion, error: unknown): FailedVersion {
  return { version, by: 'protocol', reason: errorMessage(error) };
}
