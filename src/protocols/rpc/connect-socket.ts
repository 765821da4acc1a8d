import { connect, type Socket } from 'node:net';
import { abortReason } from '../../core/clock.js';
import { CalyxError, errorMessage, systemCode } from '../../core/errors.js';

/** Where to connect to, and how long to try. */
export interface ConnectOptions {
  readonly host: string;
  readonly port: number;
  readonly signal?: AbortSignal;
  /** For the connection. @default 10_000 */
  readonly timeoutMs?: number;
  /** `privileged` takes a source port below 1024, as kernels do; some servers ask for it. Needs root. @default any */
  readonly localPort?: 'privileged';
}

/** For a connection, unless told otherwise. */
export const CONNECT_TIMEOUT_MS = 10_000;
/** Source ports that Linux takes for NFS by default (sunrpc.min_resvport, max_resvport). */
const PRIVILEGED_PORTS = { first: 665, last: 1023 } as const;
/** Several clients may run at once, each with some ports. */
const PORT_TRIES = 32;

/** A connected socket; throws CalyxError `unavailable`, `timeout` or `refused` (no privileged port for us), or the signal's reason. */
export async function connectSocket(options: ConnectOptions): Promise<Socket> {
  const { timeoutMs = CONNECT_TIMEOUT_MS, signal } = options;
  const deadline = AbortSignal.timeout(timeoutMs);
  const both = signal === undefined ? deadline : AbortSignal.any([signal, deadline]);
  try {
    if (options.localPort === undefined) return await open(options, undefined, both);
    return await openPrivileged(options, both);
  } catch (error) {
    if (signal?.aborted === true) throw abortReason(signal);
    throw connectError(error, options, deadline.aborted ? timeoutMs : undefined);
  }
}

async function openPrivileged(options: ConnectOptions, signal: AbortSignal): Promise<Socket> {
  const count = PRIVILEGED_PORTS.last - PRIVILEGED_PORTS.first + 1;
  const start = Math.floor(Math.random() * count);
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await open(options, PRIVILEGED_PORTS.first + ((start + attempt) % count), signal);
    } catch (error) {
      const taken = ['EADDRINUSE', 'EADDRNOTAVAIL'].includes(systemCode(error) ?? '');
      if (!taken || attempt + 1 >= PORT_TRIES) throw error;
    }
  }
}

function open(
  { host, port }: ConnectOptions,
  localPort: number | undefined,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(abortReason(signal));
      return;
    }
    const socket = connect({ host, port, noDelay: true, ...(localPort === undefined ? {} : { localPort }) });
    socket.on('error', () => undefined);
    const settle = (error?: Error): void => {
      signal.removeEventListener('abort', onAbort);
      socket.off('error', settle);
      if (error === undefined) resolve(socket);
      else {
        socket.destroy();
        reject(error);
      }
    };
    const onAbort = (): void => settle(abortReason(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', settle);
    socket.once('connect', () => settle());
  });
}

function connectError(
  error: unknown,
  { host, port, localPort }: ConnectOptions,
  timedOutMs: number | undefined,
): CalyxError {
  const server = `${host}:${port}`;
  if (timedOutMs !== undefined)
    return new CalyxError('timeout', `${server} did not answer within ${timedOutMs / 1000} s`, {
      hint: 'check the address and firewalls between',
      cause: error,
    });
  if (localPort !== undefined && ['EACCES', 'EADDRINUSE'].includes(systemCode(error) ?? ''))
    return new CalyxError('refused', `no source port below 1024 for ${server}: ${errorMessage(error)}`, {
      hint: 'run it as root, or do without a privileged port',
      cause: error,
    });
  return new CalyxError('unavailable', `cannot connect to ${server}: ${errorMessage(error)}`, {
    hint: 'check the address, and that the server runs',
    cause: error,
  });
}
