import { CalyxError, isCalyxError } from '../../core/errors.js';
import type { Answer, NfsVersion, StoreFacts } from '../../placement/mount-advice/client-facts.js';
import { median } from '../../placement/mount-advice/measurement.js';
import { callCompound } from '../../protocols/nfs-client/compound.js';
import { NULL3 } from '../../protocols/nfs-client/nfs3-calls.js';
import { NULL4 } from '../../protocols/nfs-client/nfs4-calls.js';
import type { NfsReader } from '../../protocols/nfs-client/nfs-reader.js';
import { Nfs3Reader } from '../../protocols/nfs-client/nfs3-reader.js';
import { Nfs41Reader } from '../../protocols/nfs-client/nfs41-reader.js';
import { connectCaller, type RpcCaller } from '../../protocols/nfs-client/rpc-caller.js';
import type { StoreAddress } from './probe-link.js';

/** What a store answers to our own client. */
export interface ProbedStore {
  readonly facts: StoreFacts;
  readonly roundTripMs: number;
  /** Rejects if the store does not answer any more. */
  ping(signal: AbortSignal): Promise<void>;
  /** Opens a reader as the store wants it. */
  open(version: NfsReader['version'], signal: AbortSignal): Promise<NfsReader>;
}

const SAMPLES = 20;
/** A store that is up answers an empty call in milliseconds. */
const CALL_MS = 5_000;
/** Several reads of 1 MiB over a slow link. */
const READ_MS = 30_000;

/**
 * Asks a store which versions it has and whether it lets us in.
 *
 * @param path directory that will be mounted
 * @throws CalyxError if it answers no version, or refuses the path
 */
export async function probeStore(
  store: StoreAddress,
  path: string,
  signal: AbortSignal,
): Promise<ProbedStore> {
  const caller = await connectProbe(store, signal);
  let versions: Readonly<Record<NfsVersion, Answer>>;
  let roundTripMs: number;
  try {
    versions = {
      '3': await has(() => caller.call(NULL3, () => undefined, signal)),
      '4.1': await has(() => minorVersion(caller, 1, signal)),
      '4.2': await has(() => minorVersion(caller, 2, signal)),
    };
    roundTripMs = await measureRoundTrips(caller, versions['3'] === 'yes', signal);
  } catch (error) {
    throw noStore(error, store);
  } finally {
    caller.close();
  }
  const privileged = await asksForPrivilege(store, path, versions, signal);
  return {
    facts: { versions, privilegedPorts: privileged ? 'yes' : 'no' },
    roundTripMs,
    ping: async (stop) => {
      const pinger = await connectProbe(store, stop);
      await pinger
        .call(versions['3'] === 'no' ? NULL4 : NULL3, () => undefined, stop)
        .finally(() => pinger.close());
    },
    open: (version, stop) => openReader(store, path, version, privileged, stop),
  };
}

function connectProbe(store: StoreAddress, signal: AbortSignal): Promise<RpcCaller> {
  const options = { privileged: false, timeoutMs: CALL_MS, callTimeoutMs: CALL_MS };
  return connectCaller({ ...store, ...options, signal });
}

/** Something listens there, but it does not answer as an NFS server does. */
function noStore(error: unknown, { host, port }: StoreAddress): unknown {
  if (!isCalyxError(error, 'timeout', 'unavailable', 'corrupt')) return error;
  return new CalyxError(error.code, error.message, {
    hint: `check that ${host}:${port} is the NFS port of a store (calyx store --nfs), not its HTTP port`,
    cause: error,
  });
}

/** A COMPOUND without operations is answered OK by whoever has the minor version (RFC 8881, section 16.2.3). */
async function minorVersion(caller: RpcCaller, minor: number, signal: AbortSignal): Promise<void> {
  await callCompound(caller, minor, [], `asking for version 4.${minor}`, signal);
}

async function has(ask: () => Promise<unknown>): Promise<Answer> {
  try {
    await ask();
    return 'yes';
  } catch (error) {
    if (isCalyxError(error, 'unsupported')) return 'no';
    // It has the version and refuses us; the privileged port is asked for below.
    if (isCalyxError(error, 'refused')) return 'unknown';
    throw error;
  }
}

async function measureRoundTrips(caller: RpcCaller, v3: boolean, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  for (let sample = 0; sample <= SAMPLES; sample += 1) {
    const start = performance.now();
    await caller.call(v3 ? NULL3 : NULL4, () => undefined, signal);
    if (sample > 0) times.push(performance.now() - start);
  }
  return median(times) ?? 0;
}

/** Whether the path opens only from a port below 1024; throws why it does not open at all. */
async function asksForPrivilege(
  store: StoreAddress,
  path: string,
  versions: Readonly<Record<NfsVersion, Answer>>,
  signal: AbortSignal,
): Promise<boolean> {
  const version = versions['4.1'] === 'no' ? '3' : '4.1';
  let refusal: CalyxError;
  try {
    await (await openReader(store, path, version, false, signal)).close();
    return false;
  } catch (error) {
    if (!isCalyxError(error, 'refused')) throw error;
    refusal = error;
  }
  try {
    await (await openReader(store, path, version, true, signal)).close();
    return true;
  } catch {
    throw refusal;
  }
}

async function openReader(
  store: StoreAddress,
  path: string,
  version: NfsReader['version'],
  privileged: boolean,
  signal: AbortSignal,
): Promise<NfsReader> {
  const caller = await connectCaller({
    ...store,
    privileged,
    signal,
    timeoutMs: CALL_MS,
    callTimeoutMs: READ_MS,
  });
  try {
    return await (version === '3' ? Nfs3Reader : Nfs41Reader).open(caller, path, signal);
  } catch (error) {
    caller.close();
    throw error;
  }
}
