import fastify, { type FastifyInstance } from 'fastify';
import { ANYBODY } from '../../src/core/access.js';
import type { BlockRange } from '../../src/core/block-range.js';
import { parseDecoderConfig, type DecoderConfig } from '../../src/inference/decoder-config.js';
import { generate, type GenerateOptions } from '../../src/inference/generate.js';
import { StageClient, type StageClientOptions } from '../../src/inference/stage-client.js';
import { StageHost, type StageHostOptions } from '../../src/inference/stage-host.js';
import type { StageLink } from '../../src/inference/stage-link.js';
import { stageServer } from '../../src/inference/stage-server.js';
import { answersErrors } from '../support/answers-errors.js';
import { readText, tensorsIn } from './model-files.js';

export const IDENTITY = { model: 'test/model', revision: 'a'.repeat(40) };

/** Cuts `blockCount` blocks into `parts` ranges of nearly equal length. */
export function split(blockCount: number, parts: number): BlockRange[] {
  return Array.from({ length: parts }, (_, i) => ({
    start: Math.floor((i * blockCount) / parts),
    end: Math.floor(((i + 1) * blockCount) / parts),
  }));
}

export function configOf(directory: string): DecoderConfig {
  return parseDecoderConfig(readText(directory, 'config.json'));
}

/** Starts a stage for each range in worker threads. */
export async function startHosts(
  directory: string,
  ranges: readonly BlockRange[],
  options: Partial<StageHostOptions> = {},
): Promise<StageHost[]> {
  const config = options.config ?? configOf(directory);
  const tensors = tensorsIn(directory);
  return Promise.all(
    ranges.map((blocks) =>
      StageHost.start({
        config,
        directory,
        tensors,
        blocks,
        embed: blocks.start === 0,
        head: blocks.end === config.blockCount,
        ...options,
      }),
    ),
  );
}

/** A stage behind a real HTTP server on loopback. */
export interface ServedStage {
  readonly server: FastifyInstance;
  readonly url: string;
}

export async function serve(stage: StageLink, config: DecoderConfig): Promise<ServedStage> {
  const server = answersErrors(fastify({ forceCloseConnections: true }));
  server.decorateRequest('grant', { getter: () => ANYBODY });
  await server.register(stageServer, { stage, identity: IDENTITY, config });
  return { server, url: await server.listen({ host: '127.0.0.1', port: 0 }) };
}

export function connect(url: string, options: StageClientOptions = {}): Promise<StageClient> {
  return StageClient.connect(url, IDENTITY, options);
}

/** Runs work, then ends everything whatever happened. */
export async function using<T>(
  resources: { stop?: () => Promise<void>; disconnect?: () => Promise<void>; server?: FastifyInstance }[],
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } finally {
    for (const resource of resources) {
      await resource.disconnect?.();
      await resource.server?.close();
      await resource.stop?.();
    }
  }
}

/** All tokens of a generation. */
export async function collect(options: GenerateOptions): Promise<number[]> {
  const tokens: number[] = [];
  for await (const token of generate(options)) tokens.push(token);
  return tokens;
}

export function tokenInput(ids: readonly number[]): { kind: 'tokens'; data: BigInt64Array<ArrayBuffer> } {
  return { kind: 'tokens', data: BigInt64Array.from(ids, BigInt) };
}

/** The largest absolute difference. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} values against ${b.length}`);
  let most = 0;
  for (let i = 0; i < a.length; i += 1) most = Math.max(most, Math.abs((a[i] ?? NaN) - (b[i] ?? NaN)));
  return most;
}

export function meanAbs(values: Float32Array): number {
  return values.reduce((sum, value) => sum + Math.abs(value), 0) / values.length;
}
