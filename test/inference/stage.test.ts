import { setMaxListeners } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { Worker } from 'node:worker_threads';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import type { Clock } from '../../src/core/clock.js';
import { kvBytesPerToken } from '../../src/inference/kv-cache.js';
import { Stage, type StageOptions } from '../../src/inference/stage.js';
import { fixture, readGolden, tensorsIn, TINY_CALYX } from './model-files.js';
import { collect, configOf, maxDifference, split, startHosts, tokenInput, using } from './pipelines.js';

const directory = fixture('llama3-rope');
const config = configOf(directory);
const whole = { blocks: { start: 0, end: config.blockCount }, embed: true, head: true };
const golden = readGolden(directory).cases[2];
const prompt = golden?.prompt as number[];

async function withStage(
  changes: Partial<StageOptions>,
  work: (stage: Stage) => Promise<void>,
  clock?: Clock,
): Promise<void> {
  const stage = await Stage.load(
    { config, directory, tensors: tensorsIn(directory), ...whole, ...changes },
    clock,
  );
  try {
    await work(stage);
  } finally {
    await stage.dispose();
  }
}

describe('Stage', () => {
  it('rewinds to an earlier position and refuses a gap', () =>
    withStage({}, async (stage) => {
      stage.open('s', 64);
      await stage.forward('s', 0, tokenInput(prompt.slice(0, 20)));
      await expect(stage.forward('s', 21, tokenInput([1]))).rejects.toMatchObject({ code: 'usage' });
      // Wrong tokens from 10 on; then the right ones again in their place.
      await stage.forward('s', 10, tokenInput([9, 9, 9, 9, 9]));
      const { data } = await stage.forward('s', 10, tokenInput(prompt.slice(10)));
      expect(maxDifference(data, golden?.last_logits ?? [])).toBeLessThan(1e-4);
      const again = await stage.forward('s', 10, tokenInput(prompt.slice(10)));
      expect(again.data).toEqual(data);
    }));

  it('gives the same after the cache has grown', () =>
    withStage({}, async (stage) => {
      const long = Array.from({ length: 300 }, (_, i) => (i * 31 + 5) % config.vocabSize);
      // The first cache has room for 256 positions: one session starts beyond that, the other grows into it.
      stage.open('at-once', 512);
      stage.open('growing', 512);
      const expected = await stage.forward('at-once', 0, tokenInput(long));
      await stage.forward('growing', 0, tokenInput(long.slice(0, 250)));
      const grown = await stage.forward('growing', 250, tokenInput(long.slice(250)));
      expect(maxDifference(grown.data, expected.data)).toBeLessThan(1e-5);
    }));

  it('refuses wrong input and a closed session', () =>
    withStage({ maxForwardTokens: 8 }, async (stage) => {
      stage.open('s', 10);
      const refused = async (
        position: number,
        input: Parameters<Stage['forward']>[2],
        what: RegExp,
      ): Promise<void> => {
        await expect(stage.forward('s', position, input)).rejects.toThrow(what);
      };
      await refused(0, tokenInput([]), /whole number|at least|positions/);
      await refused(0, tokenInput([320]), /token 320 is not in the vocabulary/);
      await refused(0, tokenInput([-1]), /token -1/);
      await refused(0, tokenInput(prompt.slice(0, 9)), /at most 8/);
      await refused(-1, tokenInput([1]), /gap/);
      await refused(0.5, tokenInput([1]), /gap/);
      await refused(0, { kind: 'hidden', data: new Float32Array(64) }, /takes token ids/);
      await stage.forward('s', 0, tokenInput(prompt.slice(0, 8)));
      await refused(8, tokenInput([1, 2, 3]), /opened for 10 tokens/);
      stage.close('s');
      await expect(stage.forward('s', 8, tokenInput([1]))).rejects.toMatchObject({ code: 'not-found' });
    }));

  it('keeps to its limits', () =>
    withStage(
      { maxSessions: 2, kvBudgetBytes: 100 * kvBytesPerToken(config, whole.blocks) },
      async (stage) => {
        expect(() => stage.open('long', 513)).toThrow(/longer than the model's 512/);
        expect(() => stage.open('none', 0)).toThrow(/at least one/);
        expect(() => stage.open('large', 101)).toThrow(expect.objectContaining({ code: 'busy' }));
        stage.open('a', 60);
        expect(() => stage.open('a', 1)).toThrow(expect.objectContaining({ code: 'exists' }));
        expect(() => stage.open('b', 41)).toThrow(expect.objectContaining({ code: 'busy' }));
        stage.open('b', 40);
        stage.close('a');
        stage.open('c', 60);
        stage.close('c');
        stage.open('d', 1);
        expect(() => stage.open('e', 1)).toThrow(/2 sessions are open/);
        return Promise.resolve();
      },
    ));

  it('closes sessions that nobody uses', async () => {
    let now = 0;
    const clock: Clock = { now: () => now, sleep: () => Promise.reject(new Error('not used')) };
    const work = async (stage: Stage): Promise<void> => {
      stage.open('idle', 10);
      stage.open('used', 10);
      now = 900;
      await stage.forward('used', 0, tokenInput([1]));
      now = 1500;
      stage.expire();
      expect(stage.sessionCount).toBe(1);
      await stage.forward('used', 1, tokenInput([1]));
      await expect(stage.forward('idle', 0, tokenInput([1]))).rejects.toMatchObject({ code: 'not-found' });
    };
    await withStage({ idleTimeoutMs: 1000 }, work, clock);
  });

  it('names the directory when the weights are not there', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'calyx-empty-'));
    try {
      await expect(
        Stage.load({ config, directory: empty, tensors: tensorsIn(directory), ...whole }),
      ).rejects.toMatchObject({
        code: 'unreadable',
        message: expect.stringContaining(empty) as string,
      });
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});

describe('StageHost', () => {
  it('runs several sessions at once, each as it would run alone', async () => {
    const model = TINY_CALYX;
    const tiny = configOf(model);
    const cases = readGolden(model).cases.slice(0, 5);
    const hosts = await startHosts(model, split(tiny.blockCount, 3));
    await using(hosts, async () => {
      const all = await Promise.all(
        cases.map(({ tokens = [] }) =>
          collect({
            stages: hosts,
            config: tiny,
            prompt: tokens,
            maxTokens: 40,
            chunkTokens: 4,
            eosIds: [1, 5],
          }),
        ),
      );
      expect(all).toEqual(cases.map(({ greedy }) => greedy.slice(0, 40)));
    });
  });

  it('reports why loading failed', async () => {
    const tensors = tensorsIn(directory).filter(({ name }) => name !== 'model.norm.weight');
    await expect(startHosts(directory, [whole.blocks], { tensors })).rejects.toMatchObject({
      code: 'invalid-model',
      message: expect.stringContaining('model.norm.weight') as string,
    });
  });

  it('fails every call with the reason when its worker dies', async () => {
    const [host] = await startHosts(directory, [whole.blocks]);
    if (host === undefined) throw new Error('no host');
    await using([host], async () => {
      await host.open('s', 100);
      const post = vi.spyOn(Worker.prototype, 'postMessage');
      const pending = host.forward('s', 0, tokenInput(prompt));
      const worker = post.mock.contexts[0] as Worker;
      post.mockRestore();
      // A message that the worker cannot take apart: it dies of it as of any other fault.
      worker.postMessage(null);
      await pending.catch(() => undefined);
      await expect(
        Promise.all([host.forward('s', 0, tokenInput(prompt)), host.open('t', 5)]),
      ).rejects.toMatchObject({
        code: 'unavailable',
        message: expect.stringMatching(/blocks 0:6: its worker thread failed/) as string,
      });
      await expect(host.open('u', 5)).rejects.toMatchObject({ code: 'unavailable' });
      await expect(host.failed).resolves.toMatchObject({
        message: expect.stringMatching(/blocks 0:6: its worker thread failed/) as string,
      });
    });
  });

  it('stops with calls under way, and refuses more calls than it may hold', async () => {
    const [host] = await startHosts(directory, [whole.blocks], { maxPending: 2 });
    if (host === undefined) throw new Error('no host');
    await host.open('s', 200);
    const calls = [0, 0, 0].map(() => host.forward('s', 0, tokenInput(prompt)));
    await expect(calls[2]).rejects.toMatchObject({ code: 'busy' });
    const stopped = Promise.allSettled(calls);
    await host.stop();
    expect((await stopped).every(({ status }) => status === 'rejected')).toBe(true);
    await expect(host.open('t', 1)).rejects.toMatchObject({ code: 'aborted' });
    // To be stopped is no failure.
    expect(await Promise.race([host.failed, Promise.resolve('well')])).toBe('well');
  });

  it('counts a call that was given up until its worker is done with it', async () => {
    const hosts = await startHosts(directory, [whole.blocks], { maxPending: 2 });
    await using(hosts, async () => {
      const host = hosts[0];
      if (host === undefined) throw new Error('no host');
      await host.open('s', 200);
      const controller = new AbortController();
      const { signal } = controller;
      const calls = [0, 0].map(() => host.forward('s', 0, tokenInput(prompt), { signal }));
      const settled = Promise.allSettled(calls);
      controller.abort(new Error('enough'));
      await expect(host.forward('s', 0, tokenInput(prompt))).rejects.toMatchObject({ code: 'busy' });
      expect((await settled).every(({ status }) => status === 'rejected')).toBe(true);
      // The worker answers them soon, and then there is room again.
      await vi.waitFor(() => host.forward('s', 0, tokenInput(prompt)), { timeout: 10_000 });
    });
  });

  it('does not compute calls that nobody waits for', async () => {
    const hosts = await startHosts(directory, [whole.blocks], { maxPending: 100 });
    await using(hosts, async () => {
      const host = hosts[0];
      if (host === undefined) throw new Error('no host');
      const long = Array.from({ length: 500 }, (_, i) => i % config.vocabSize);
      await host.open('s', 512);
      await host.forward('s', 0, tokenInput(long));
      const begin = performance.now();
      await host.forward('s', 0, tokenInput(long));
      const oneMs = performance.now() - begin;
      const controller = new AbortController();
      const { signal } = controller;
      setMaxListeners(0, signal);
      const calls = Array.from({ length: 90 }, () => host.forward('s', 0, tokenInput(long), { signal }));
      const settled = Promise.allSettled(calls);
      controller.abort(new Error('enough'));
      const afterwards = performance.now();
      await host.forward('s', 0, tokenInput([1]));
      expect(performance.now() - afterwards).toBeLessThan(20 * oneMs);
      expect((await settled).every(({ status }) => status === 'rejected')).toBe(true);
    });
  });

  it('gives up a call when the signal fires, and goes on with the next', async () => {
    const hosts = await startHosts(directory, [whole.blocks]);
    await using(hosts, async () => {
      const host = hosts[0];
      if (host === undefined) throw new Error('no host');
      await host.open('s', 100);
      const controller = new AbortController();
      const call = host.forward('s', 0, tokenInput(prompt), { signal: controller.signal });
      controller.abort(new Error('enough'));
      await expect(call).rejects.toThrow('enough');
      const { data } = await host.forward('s', 0, tokenInput(prompt));
      expect(maxDifference(data, golden?.last_logits ?? [])).toBeLessThan(1e-4);
    });
  });
});

it('writes nothing to stderr or the home directory, and has no telemetry', () => {
  const home = mkdtempSync(join(tmpdir(), 'calyx-home-'));
  try {
    const script = fileURLToPath(new URL('./quiet-stage.js', import.meta.url));
    const environment = { PATH: process.env['PATH'], HOME: home };
    const { stdout, stderr } = spawnSync(process.execPath, [script], { env: environment, encoding: 'utf8' });
    expect({ stdout, stderr }).toEqual({ stdout: `${config.vocabSize} logits\n`, stderr: '' });
    expect(readdirSync(home)).toEqual([]);
  } finally {
    rmSync(home, { recursive: true });
  }
});
