import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { cleanEnvironment, start, type Ended } from './cli.js';
import { runScript, type RunCommand } from './python-engines.js';

/** Settings of a program that uses the Hub, by the names of environment variables. */
export type HubSettings = Readonly<Record<string, string>>;

/** What a call of huggingface_hub came to. */
export interface CallOutcome {
  readonly value?: unknown;
  /** Names of the error's class and of those it is derived from. */
  readonly error?: readonly string[];
  readonly message?: string;
}

/** Longer than any deadline of the clients. */
const STUCK_MS = 180_000;

/** Nothing of the user's own cache, token or endpoint, and no bars. */
function hubEnvironment(settings: HubSettings): NodeJS.ProcessEnv {
  const all = Object.entries(cleanEnvironment());
  const kept = all.filter(([name]) => !/^HF_|^HUGGING|^(?:REQUESTS_CA_BUNDLE|SSL_CERT_FILE)$/.test(name));
  const quiet = { HF_HUB_DISABLE_PROGRESS_BARS: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
  return { ...Object.fromEntries(kept), ...quiet, ...settings };
}

/** Runs commands with these settings. */
export function withHub(settings: HubSettings): RunCommand {
  const env = hubEnvironment(settings);
  return (command, args) => start(command, args, { env, timeout: STUCK_MS }).ended;
}

/** Calls functions of huggingface_hub in Python, one after the other in one process. */
export async function hubCalls(
  python: string,
  settings: HubSettings,
  ...calls: readonly (readonly [name: string, args: Readonly<Record<string, unknown>>])[]
): Promise<readonly CallOutcome[]> {
  const told = await runScript(python, withHub(settings), 'hub_calls.py', JSON.stringify(calls));
  return told as CallOutcome[];
}

/** As {@link hubCalls} for one that must succeed. */
export async function hubCall(
  python: string,
  settings: HubSettings,
  name: string,
  args: Readonly<Record<string, unknown>>,
): Promise<unknown> {
  const [outcome] = await hubCalls(python, settings, [name, args]);
  expect(outcome?.error, outcome?.message).toBeUndefined();
  return outcome?.value;
}

/** Runs the command `hf`, which stands beside the interpreter that has huggingface_hub. */
export function hf(python: string, settings: HubSettings, ...args: string[]): Promise<Ended> {
  return withHub(settings)(join(dirname(python), 'hf'), args);
}
