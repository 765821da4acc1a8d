import type { Command } from 'commander';
import { runNode } from '../app/node/run-node.js';
import { formatBlockRange, parseBlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';
import { parseModelSpec } from '../core/names.js';
import { formatSize, parseSize } from '../core/units.js';
import { parseListenAddress } from '../protocols/http/create-server.js';
import { note, printJson, progressBar } from './terminal.js';
import { aborted, runCommand, type CommonOptions } from './run-command.js';
import { createLogger } from './logger.js';
import { chosenDirectory, defaultNodeDirectory, storeUrls } from './settings.js';

interface NodeCommandOptions extends CommonOptions {
  readonly store?: string;
  readonly model: string;
  readonly blocks: string;
  readonly data?: string;
  readonly budget?: string;
  readonly listen: string;
  readonly insecure?: boolean;
  readonly advertise?: string;
  readonly name?: string;
  readonly hostName: readonly string[];
  readonly threads: string;
}

/** `calyx node`: fetches some blocks and runs them. */
export function nodeCommand(program: Command): void {
  program
    .command('node')
    .description('fetch some blocks of a model from a store and run them')
    .requiredOption('--model <org/name>', 'ORG/NAME[@REVISION]')
    .requiredOption(
      '--blocks <a:b>',
      'the blocks from A up to, and without, B; 0 adds the embeddings, the last one adds the head',
    )
    .option(
      '--store <urls>',
      'addresses of stores, separated by commas (default: CALYX_STORE, or this machine)',
    )
    .option(
      '--data <directory>',
      "the node's directory (default: CALYX_NODE_DATA, or calyx/node in the XDG cache directory)",
    )
    .option('--budget <size>', 'the most that the directory may take: 500MB, 64GiB, ...')
    .option(
      '--listen <host:port>',
      'where to listen; port 0 takes a free one',
      process.env['CALYX_NODE_LISTEN'] ?? '127.0.0.1:0',
    )
    .option(
      '--insecure',
      'listen beyond loopback although everyone who reaches this machine could use the node',
    )
    .option(
      '--host-name <name>',
      'a name by which clients call this machine (repeatable)',
      (name: string, names: string[]) => [...names, name.toLowerCase()],
      [],
    )
    .option('--advertise <url>', 'how other machines reach this node, if not by the address it listens on')
    .option('--name <name>', 'what to call this node (default: its address)')
    .option('--threads <n>', 'threads for the arithmetic', '1')
    .option('--json', 'print a line of JSON for each event: fetching, fetched, listening')
    .option('--verbose', 'log every step')
    .action((options: NodeCommandOptions) =>
      runCommand(
        options,
        async (signal) => {
          const bar = progressBar('fetching');
          const tell = (event: string, details: object): void => {
            if (options.json === true) printJson({ event, ...details });
          };
          const node = await runNode({
            stores: storeUrls(options.store),
            spec: parseModelSpec(options.model),
            blocks: parseBlockRange(options.blocks),
            dataDirectory: chosenDirectory(options.data, defaultNodeDirectory),
            budgetBytes: options.budget === undefined ? undefined : parseSize(options.budget),
            listen: parseListenAddress(options.listen),
            insecure: options.insecure === true,
            hostNames: options.hostName,
            advertise: options.advertise === undefined ? undefined : storeUrls(options.advertise)[0],
            name: options.name,
            threads: parseThreads(options.threads),
            logger: createLogger('node', options.verbose === true),
            signal,
            onTotal: (bytes) => {
              bar.start(bytes);
              tell('fetching', { bytes });
            },
            onBytes: (bytes) => bar.add(bytes),
            onFetched: ({ fetched, bytesOnDisk }) => {
              bar.stop();
              const { bytesNeeded, bytesFetched, chunks, retries, seconds } = fetched;
              tell('fetched', { bytesNeeded, bytesFetched, bytesOnDisk, chunks, retries, seconds });
              if (options.json !== true)
                note(`fetched ${formatSize(bytesFetched)}; ${formatSize(bytesOnDisk)} on disk`);
            },
          }).finally(() => bar.stop());
          const { model, revision } = node.slice.fetched;
          const blocks = options.blocks;
          tell('listening', { name: node.name, url: node.url, model, revision: revision.revision, blocks });
          if (options.json !== true) {
            note(
              `node ${node.name} serves the blocks ${formatBlockRange(parseBlockRange(blocks))} of ${model}@${revision.revision} on ${node.url}`,
            );
          }
          const failure = await Promise.race([aborted(signal), node.failed]);
          await node.close();
          if (failure !== undefined) throw failure;
          return 0;
        },
        true,
      ),
    );
}

function parseThreads(text: string): number {
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 256) return threads;
  throw new CalyxError('usage', `--threads ${text} is not a number from 1 to 256`);
}
