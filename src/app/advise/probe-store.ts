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
import type { ClientTls } from '../../protocols/rpc/start-tls.js';
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
    versions = await askVersions(caller, signal);
    roundTripMs = await measureRoundTrips(caller, versions['3'] === 'yes', signal);
  } catch (error) {
    throw noStore(error, store);
  } finally {
    caller.close();
  }
  const offered = await offeredTls(store, signal);
  if (offered !== undefined && Object.values(versions).includes('unknown'))
    versions = await withinTls(store, offered, signal);
  const { privileged, tls } = await howToOpen(store, path, { versions, offered }, signal);
  const required = tls === undefined ? undefined : 'required';
  return {
    facts: {
      versions,
      privilegedPorts: privileged ? 'yes' : 'no',
      tls: required ?? (offered === undefined ? 'no' : 'offered'),
    },
    roundTripMs,
    ping: async (stop) => {
      const pinger = await connectProbe(store, stop);
      await pinger
        .call(versions['3'] === 'no' ? NULL4 : NULL3, () => undefined, stop)
        .finally(() => pinger.close());
    },
    open: (version, stop) => openReader(store, path, version, { privileged, tls }, stop),
  };
}

function connectProbe(store: StoreAddress, signal: AbortSignal, tls?: ClientTls): Promise<RpcCaller> {
  const options = { privileged: false, timeoutMs: CALL_MS, callTimeoutMs: CALL_MS, tls };
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

/** What a store wants of those who open a path. */
interface Terms {
  /** A source port below 1024. */
  readonly privileged: boolean;
  readonly tls: ClientTls | undefined;
}

/** The NULL with which we ask for TLS. Nothing that is sent is secret and what is read is only measured, so it need not be known who it is. */
const TLS_OF_3: ClientTls = { program: NULL3.program, version: NULL3.version };
const TLS_OF_4: ClientTls = { program: NULL4.program, version: NULL4.version };

/** How the store is asked for TLS, if it offers it. */
async function offeredTls(store: StoreAddress, signal: AbortSignal): Promise<ClientTls | undefined> {
  for (const tls of [TLS_OF_3, TLS_OF_4])
    try {
      (await connectProbe(store, signal, tls)).close();
      return tls;
    } catch (error) {
      // A server that does not know the question may also close the connection.
      if (!isCalyxError(error)) throw error;
    }
  return undefined;
}

async function withinTls(
  store: StoreAddress,
  tls: ClientTls,
  signal: AbortSignal,
): Promise<Readonly<Record<NfsVersion, Answer>>> {
  const caller = await connectProbe(store, signal, tls);
  return askVersions(caller, signal).finally(() => caller.close());
}

async function askVersions(
  caller: RpcCaller,
  signal: AbortSignal,
): Promise<Readonly<Record<NfsVersion, Answer>>> {
  return {
    '3': await has(() => caller.call(NULL3, () => undefined, signal)),
    '4.1': await has(() => minorVersion(caller, 1, signal)),
    '4.2': await has(() => minorVersion(caller, 2, signal)),
  };
}

/** The fewest terms on which the path opens; throws why it does not open at all. */
async function howToOpen(
  store: StoreAddress,
  path: string,
  found: {
    readonly versions: Readonly<Record<NfsVersion, Answer>>;
    readonly offered: ClientTls | undefined;
  },
  signal: AbortSignal,
): Promise<Terms> {
  const version = found.versions['4.1'] === 'no' ? '3' : '4.1';
  const ways = found.offered === undefined ? [undefined] : [undefined, found.offered];
  const terms = [false, true].flatMap((privileged) => ways.map((tls): Terms => ({ privileged, tls })));
  let refusal: CalyxError | undefined;
  for (const each of terms)
    try {
      await (await openReader(store, path, version, each, signal)).close();
      return each;
    } catch (error) {
      if (refusal === undefined && !isCalyxError(error, 'refused')) throw error;
      signal.throwIfAborted();
      refusal ??= isCalyxError(error) ? error : undefined;
    }
  throw notLetIn(refusal, found.offered !== undefined);
}

function notLetIn(refusal: CalyxError | undefined, offersTls: boolean): unknown {
  if (refusal === undefined || !offersTls) return refusal;
  return new CalyxError(refusal.code, `${refusal.message}, without TLS and with it`, {
    hint: 'it may want a certificate of the cluster: mount with xprtsec=mtls, for which tlshd needs one of this machine; or this address may be one that no --allow names',
    cause: refusal,
  });
}

async function openReader(
  store: StoreAddress,
  path: string,
  version: NfsReader['version'],
  terms: Terms,
  signal: AbortSignal,
): Promise<NfsReader> {
  const caller = await connectCaller({
    ...store,
    ...terms,
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
