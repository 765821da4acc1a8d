import { createRequire } from 'node:module';
import type { InferenceSession, Tensor } from 'onnxruntime-common';
import { CalyxError, errorMessage } from '../core/errors.js';

/** What is used of onnxruntime-node. */
export interface Runtime {
  readonly InferenceSession: typeof InferenceSession;
  readonly Tensor: typeof Tensor;
}

/** Settings of {@link createSession}. */
export interface SessionSettings {
  /** The directory that external weights are relative to. */
  readonly directory: string;
  /** Threads for the work inside one operator. */
  readonly threads: number;
}

/** onnxruntime reads this when its library is loaded; with it nothing is collected, written to $HOME or sent. */
export const TELEMETRY_SWITCH = 'ORT_DISABLE_TELEMETRY';

/** ORT_LOGGING_LEVEL_ERROR: its warnings are about choices of ours (no prepacking) and do not concern a user. */
const LOG_ERRORS_ONLY = 3;

let loaded: Runtime | undefined;

/**
 * Loads onnxruntime-node with its telemetry off.
 *
 * The switch must be in the environment of the process, not in a worker's copy of it: call this in the main thread or in a
 * worker that shares the environment (`SHARE_ENV`).
 *
 * @throws CalyxError `unsupported` if there is no build of it for this platform
 */
export function loadRuntime(): Runtime {
  if (loaded !== undefined) return loaded;
  process.env[TELEMETRY_SWITCH] = '1';
  try {
    const runtime = createRequire(import.meta.url)('onnxruntime-node') as Runtime & {
      env: { logLevel: string };
    };
    runtime.env.logLevel = 'error';
    loaded = runtime;
    return runtime;
  } catch (error) {
    throw new CalyxError(
      'unsupported',
      `onnxruntime does not load on ${process.platform}-${process.arch}: ${errorMessage(error)}`,
      { hint: 'the embedded engine runs on linux (x64, arm64), macOS (arm64) and Windows', cause: error },
    );
  }
}

/** Builds a session from a serialised model whose weights lie in `directory`. Blocks the thread for seconds if they are large. */
export async function createSession(
  model: Uint8Array,
  { directory, threads }: SessionSettings,
): Promise<InferenceSession> {
  return loadRuntime().InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    logSeverityLevel: LOG_ERRORS_ONLY,
    extra: {
      session: {
        model_external_initializers_file_folder_path: directory,
        // Prepacking would keep a second copy of every weight.
        disable_prepacking: '1',
        // Spinning threads would take the other stages' cores while a stage waits for its peers.
        'intra_op.allow_spinning': '0',
      },
    },
  });
}
