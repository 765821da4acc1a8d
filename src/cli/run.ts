import { randomInt } from 'node:crypto';
import type { Command } from 'commander';
import { storeAccess } from '../app/join/store-access.js';
import { ModelRunner, type Prompt, type RunResult } from '../app/run/model-runner.js';
import { formatBlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';
import { formatModelName, parseModelSpec } from '../core/names.js';
import { note, printJson, writeGenerated } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

interface RunCommandOptions extends CommonOptions {
  readonly store?: string;
  readonly maxTokens: string;
  readonly temperature: string;
  readonly topP: string;
  readonly seed?: string;
  readonly raw?: boolean;
  readonly tokens?: string;
}

/** `calyx run MODEL PROMPT`: text from a model that nodes serve. */
export function runModelCommand(program: Command): void {
  program
    .command('run')
    .description('generate text with a model that nodes serve')
    .argument('<model>', 'ORG/NAME[@REVISION]')
    .argument('[prompt]', 'what to answer; wrapped in the chat template of the model unless --raw')
    .option(
      '--store <urls>',
      'addresses of stores, separated by commas (default: CALYX_STORE, the cluster that was joined, or this machine)',
    )
    .option('--max-tokens <n>', 'the most tokens to generate', '256')
    .option('--temperature <t>', '0 takes the most likely token each time; higher is more varied', '0')
    .option('--top-p <p>', 'draw from the most likely tokens that sum up to this probability', '1')
    .option('--seed <s>', 'the same seed gives the same text (default: a random one)')
    .option('--raw', 'give the prompt to the model as it is')
    .option('--tokens <ids>', 'token ids as the prompt: 5,17,3')
    .option('--json', 'print one JSON object at the end instead of streaming')
    .option('--verbose', 'show where errors come from')
    .action((model: string, prompt: string | undefined, options: RunCommandOptions) =>
      runCommand(options, async (signal) => {
        const asked = parsePrompt(prompt, options);
        const seed = options.seed === undefined ? randomInt(2 ** 32) : parseNumber('--seed', options.seed);
        const sampling = {
          maxTokens: parseNumber('--max-tokens', options.maxTokens),
          temperature: parseNumber('--temperature', options.temperature),
          topP: parseNumber('--top-p', options.topP),
          seed,
        };
        const runner = await ModelRunner.open(
          parseModelSpec(model),
          await storeAccess(options.store),
          signal,
        );
        try {
          const stream = options.json !== true;
          let begun = false;
          const onText = (text: string): void => {
            begun = true;
            writeGenerated(text);
          };
          const result = await runner
            .run(asked, { ...sampling, signal, ...(stream ? { onText } : {}) })
            .catch((error: unknown) => {
              // What is wrong does not stand in the middle of the text.
              if (begun) process.stdout.write('\n');
              throw error;
            });
          if (stream) {
            if (!runner.hasTokenizer) process.stdout.write(result.tokens.join(','));
            process.stdout.write('\n');
            note(summary(runner, result));
          } else printJson(toJson(runner, result, seed));
        } finally {
          await runner.close();
        }
        return 0;
      }),
    );
}

function parsePrompt(prompt: string | undefined, options: RunCommandOptions): Prompt {
  if (options.tokens !== undefined) {
    if (prompt !== undefined) throw new CalyxError('usage', 'give either a prompt or --tokens, not both');
    return { tokens: options.tokens.split(',').map((id) => parseNumber('--tokens', id)) };
  }
  if (prompt === undefined)
    throw new CalyxError('usage', 'there is no prompt', {
      hint: "write it after the model's name, or give --tokens 5,17,3",
    });
  return { text: prompt, raw: options.raw === true };
}

function parseNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && Number.isFinite(value)) return value;
  throw new CalyxError('usage', `${option}: '${text}' is not a number`);
}

function summary(runner: ModelRunner, { tokens, stats }: RunResult): string {
  const route = runner.route.map(({ name, blocks }) => `${name} (${formatBlockRange(blocks)})`).join(' -> ');
  return `${tokens.length} tokens, ${stats.tokensPerSecond.toFixed(1)} tokens/s, through ${route}`;
}

function toJson(runner: ModelRunner, { tokens, text, stats }: RunResult, seed: number): unknown {
  return {
    model: formatModelName(runner.revision.model),
    revision: runner.revision.revision,
    tokens,
    text,
    route: runner.route.map(({ name, url, blocks }) => ({ name, url, blocks: formatBlockRange(blocks) })),
    promptTokens: stats.promptTokens,
    tokensPerSecond: stats.tokensPerSecond,
    prefillSeconds: stats.prefillSeconds,
    stopReason: stats.stopReason,
    seed,
  };
}
