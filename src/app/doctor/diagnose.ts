import { setMaxListeners } from 'node:events';
import { checkMachine, type MachineOptions } from './check-machine.js';
import { checkStore, noStore } from './check-store.js';
import { fileFacts } from './facts/file-facts.js';
import type { Finding } from './finding.js';

/** What is looked at. */
export interface DiagnoseOptions extends MachineOptions {
  /** The data directory of a store. */
  readonly dataDirectory: string;
  /** True if somebody named it; else there need not be one. */
  readonly dataNamed: boolean;
}

/** All waits together, for stores and for disks. */
export const PATIENCE_MS = 3_000;

/**
 * Looks at this machine, and at a store if there is one. Changes nothing, tells no secret, and takes PATIENCE_MS at most.
 *
 * @throws CalyxError `usage` for `--store` that names no store
 */
export async function diagnose(options: DiagnoseOptions, signal: AbortSignal): Promise<Finding[]> {
  const { dataDirectory, dataNamed } = options;
  const stop = new AbortController();
  const patience = stop.signal;
  // Not AbortSignal.timeout: nothing else may keep the process alive until then.
  const timer = setTimeout(() => stop.abort(new Error('it took too long')), PATIENCE_MS);
  const onAbort = (): void => stop.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  // Each address and each stage listens, and they are bounded.
  setMaxListeners(0, patience);
  try {
    // At the same time: what one waits for must not take the other's.
    const both = await Promise.all([
      checkMachine(options, patience),
      store(dataDirectory, dataNamed, patience),
    ]);
    signal.throwIfAborted();
    return both.flat();
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

async function store(root: string, named: boolean, signal: AbortSignal): Promise<Finding[]> {
  // What hangs is there; the checks say the rest.
  const hangs = new Promise<true>((resolve) => {
    signal.addEventListener('abort', () => resolve(true), { once: true });
  });
  const isThere = await Promise.race([fileFacts(root).then((seen) => seen !== undefined), hangs]);
  if (isThere) return checkStore(root, signal);
  return named ? [noStore(root)] : [];
}
