import { afterAll, describe, expect, it } from 'vitest';
import { generate } from '../../src/inference/generate.js';
import { step } from '../../src/inference/pipeline.js';
import type { StageLink } from '../../src/inference/stage-link.js';
import { fixture, readGolden, TINY_CALYX } from './model-files.js';
import {
  collect,
  configOf,
  connect,
  maxDifference,
  meanAbs,
  serve,
  split,
  startHosts,
  tokenInput,
  using,
} from './pipelines.js';

// transformers 5.18 in float32 on the stored weights; see the models' golden.json.
const MODELS: Record<string, string> = {
  'tiny-calyx': TINY_CALYX,
  'llama3-rope': fixture('llama3-rope'),
  'qwen2-tied': fixture('qwen2-tied'),
  qwen3: fixture('qwen3'),
  'mistral-f32': fixture('mistral-f32'),
};
const TOLERANCE = 1e-4;
const worst = new Map<string, number>();

for (const [name, directory] of Object.entries(MODELS)) {
  const golden = readGolden(directory);
  const config = configOf(directory);
  const cases = golden.cases.map((one) => ({ ...one, ids: one.tokens ?? (one.prompt as number[]) }));
  // tiny-calyx stops where its generation_config says; the random models never do.
  const eosIds = name === 'tiny-calyx' ? [1, 5] : [];

  const checkAll = async (stages: readonly StageLink[], some = cases): Promise<void> => {
    for (const { ids, greedy, last_logits: logits } of some) {
      for (const stage of stages) await stage.open('golden-logits-0001', ids.length);
      const error = maxDifference(await step(stages, 'golden-logits-0001', 0, ids), logits);
      for (const stage of stages) await stage.close('golden-logits-0001');
      worst.set(name, Math.max(worst.get(name) ?? 0, error));
      expect(error).toBeLessThan(TOLERANCE);
      expect(await collect({ stages, config, prompt: ids, maxTokens: greedy.length, eosIds })).toEqual(
        greedy,
      );
    }
  };

  describe(name, () => {
    for (const parts of [1, 2, 3, config.blockCount]) {
      it(`gives the golden tokens and logits over ${parts} stages`, async () => {
        const hosts = await startHosts(directory, split(config.blockCount, parts));
        await using(hosts, () => checkAll(hosts));
      });
    }

    it('gives the golden tokens and logits over HTTP, with the prompt in small chunks', async () => {
      const hosts = await startHosts(directory, split(config.blockCount, 3));
      const served = await Promise.all(hosts.map((host) => serve(host, config)));
      const clients = await Promise.all(served.map(({ url }) => connect(url)));
      await using([...clients, ...served, ...hosts], async () => {
        await checkAll(clients);
        for (const { ids, greedy } of cases) {
          const options = {
            stages: clients,
            config,
            prompt: ids,
            maxTokens: greedy.length,
            eosIds,
            chunkTokens: 5,
          };
          expect(await collect(options)).toEqual(greedy);
        }
      });
    });
  });

  if (cases.every((one) => one.hidden_mean_abs !== undefined)) {
    it(`${name}: the hidden states between blocks have the golden magnitudes`, async () => {
      const hosts = await startHosts(directory, split(config.blockCount, config.blockCount));
      await using(hosts, async () => {
        for (const { ids, hidden_mean_abs: expected = [] } of cases) {
          let input: Parameters<StageLink['forward']>[2] = tokenInput(ids);
          for (const [block, host] of hosts.slice(0, -1).entries()) {
            await host.open('golden-hidden-0001', ids.length);
            const { data } = await host.forward('golden-hidden-0001', 0, input);
            await host.close('golden-hidden-0001');
            expect(Math.abs(meanAbs(data) - (expected[block + 1] ?? NaN))).toBeLessThan(2e-6);
            input = { kind: 'hidden', data };
          }
        }
      });
    });
  }
}

it('reports how a generation went', async () => {
  const directory = fixture('qwen3');
  const config = configOf(directory);
  const hosts = await startHosts(directory, split(config.blockCount, 2));
  await using(hosts, async () => {
    const [first] = readGolden(directory).cases;
    const prompt = first?.prompt as number[];
    const generation = generate({ stages: hosts, config, prompt, maxTokens: 3 });
    const tokens: number[] = [];
    for await (const token of generation) tokens.push(token);
    expect(tokens).toEqual(first?.greedy.slice(0, 3));
    expect(generation.stats).toMatchObject({ promptTokens: 1, generatedTokens: 3, stopReason: 'length' });
    expect(generation.stats.tokensPerSecond).toBeCloseTo(2 / generation.stats.decodeSeconds, 6);
  });
});

afterAll(() => {
  if (process.env['CALYX_SHOW_ERRORS'] !== undefined)
    process.stdout.write(`largest logit errors: ${JSON.stringify(Object.fromEntries(worst))}\n`);
});
