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
  const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  // Each address and each stage listens, and they are bounded.
  setMaxListeners(0, patience);
  const [machine, there] = await Promise.all([
    checkMachine(options, patience),
    fileFacts(dataDirectory).then((seen) => seen !== undefined),
  ]);
  signal.throwIfAborted();
  const store = there ? await checkStore(dataDirectory, patience) : dataNamed ? [noStore(dataDirectory)] : [];
  return [...machine, ...store];
}
