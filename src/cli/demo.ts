import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { DemoCluster, DEMO_MODEL } from '../app/demo/cluster.js';
import { ModelRunner, type RunResult } from '../app/run/model-runner.js';
import { DEFAULT_REF, formatModelName } from '../core/names.js';
import { formatSize } from '../core/units.js';
import { note, print, printJson, printTable, writeGenerated } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';

interface DemoOptions extends CommonOptions {
  readonly once?: boolean;
}

const DEFAULT_PROMPT = 'What is a calyx?';
const MAX_TOKENS = 128;

/** `calyx demo`: the whole idea on one machine. */
export function demoCommand(program: Command): void {
  program
    .command('demo')
    .description('one store, three nodes, one model that answers: the whole idea on this machine')
    .argument('[prompt]', 'what to ask first', DEFAULT_PROMPT)
    .option('--once', 'end after the first answer')
    .option('--json', 'print one JSON object at the end; implies --once')
    .option('--verbose', 'show where errors come from')
    .action((prompt: string, options: DemoOptions) =>
      runCommand(options, async (signal) => {
        const json = options.json === true;
        const say = json ? () => undefined : print;
        const cluster = await DemoCluster.start(signal, {
          onStore: (url) => {
            say(`store   ${url}`);
            say('        every connection is encrypted, and every machine has a token of its own');
          },
          onAdded: ({ blocks, bytes }) =>
            say(
              `        holds the only full copy of ${formatModelName(DEMO_MODEL)}: ${blocks} blocks, ${formatSize(bytes)}`,
            ),
          onNode: (node) =>
            say(
              `${node.name}  blocks ${node.blocks.padEnd(5)} fetched ${formatSize(node.bytesNeeded)} of its budget of ${formatSize(node.budget)}`,
            ),
        });
        try {
          if (cluster.access === undefined) throw new Error('the store has no address');
          const runner = await ModelRunner.open(
            { model: DEMO_MODEL, revision: DEFAULT_REF },
            cluster.access,
            signal,
          );
          try {
            const ask = (text: string): Promise<RunResult> => answer(runner, text, json, signal);
            say(`\n> ${prompt}`);
            const result = await ask(prompt);
            await report(cluster, result, json);
            if (options.once !== true && !json && process.stdin.isTTY && process.stdout.isTTY)
              await converse(ask, signal);
          } finally {
            await runner.close();
          }
        } finally {
          await cluster.stop();
        }
        return 0;
      }),
    );
}

async function answer(
  runner: ModelRunner,
  text: string,
  quiet: boolean,
  signal: AbortSignal,
): Promise<RunResult> {
  const write = (piece: string): void => {
    if (!quiet) writeGenerated(piece);
  };
  try {
    return await runner.run({ text, raw: false }, { maxTokens: MAX_TOKENS, signal, onText: write });
  } finally {
    write('\n\n');
  }
}

async function report(
  cluster: DemoCluster,
  { text, tokens, stats }: RunResult,
  json: boolean,
): Promise<void> {
  const { nodes, added } = cluster;
  const storeBytes = added?.bytes ?? 0;
  const fullCopiesBytes = nodes.length * storeBytes;
  const bytesSent = await cluster.bytesSent();
  const { tokensPerSecond } = stats;
  if (json) {
    printJson({
      text,
      tokens,
      tokensPerSecond,
      store: { bytes: storeBytes, bytesSent },
      nodes,
      fullCopiesBytes,
    });
    return;
  }
  const rows = [
    ['store', 'all', formatSize(storeBytes), ''],
    ...nodes.map(({ name, blocks, bytesOnDisk, budget }) => [
      name,
      blocks,
      formatSize(bytesOnDisk),
      formatSize(budget),
    ]),
  ];
  printTable(['machine', 'blocks', 'on disk', 'budget'], rows, [2, 3]);
  const onNodes = nodes.reduce((sum, node) => sum + node.bytesOnDisk, 0);
  print('');
  print(
    `on the nodes    ${formatSize(onNodes)}; ${nodes.length} full copies would have taken ${formatSize(fullCopiesBytes)}`,
  );
  print(`sent by store   ${formatSize(bytesSent)}`);
  print(`speed           ${tokensPerSecond.toFixed(1)} tokens/s`);
}

async function converse(ask: (text: string) => Promise<RunResult>, signal: AbortSignal): Promise<void> {
  note('\nAsk something else; an empty line or Ctrl-D ends.');
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  // In a terminal readline takes Ctrl-C for itself.
  terminal.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  try {
    for (;;) {
      const text = (await Promise.race([terminal.question('> ', { signal }), closed])).trim();
      if (text === '') return;
      await ask(text);
    }
  } finally {
    terminal.close();
  }
}
