import type { Command } from 'commander';
import { storeAccess } from '../app/join/store-access.js';
import { parseStoreUrls } from '../app/join/store-urls.js';
import { runNode, type BlocksOfSlice, type BlocksToFetch } from '../app/node/run-node.js';
import { formatBlockRange, parseBlockRange } from '../core/block-range.js';
import { CalyxError } from '../core/errors.js';
import { parseModelSpec } from '../core/names.js';
import { formatSize, parseSize } from '../core/units.js';
import { parseListenAddress } from '../protocols/http/create-server.js';
import { note, printJson, progressBar } from './terminal.js';
import { aborted, runCommand, type CommonOptions } from './run-command.js';
import { createLogger } from './logger.js';
import { chosenDirectory, defaultNodeDirectory } from './settings.js';

interface NodeCommandOptions extends CommonOptions {
  readonly store?: string;
  readonly model?: string;
  readonly blocks?: string;
  readonly slice?: string;
  readonly data?: string;
  readonly budget?: string;
  readonly listen: string;
  readonly insecure?: boolean;
  readonly advertise?: string;
  readonly name?: string;
  readonly hostName: readonly string[];
  readonly threads: string;
}

/** `calyx node`: fetches some blocks, or takes those of a slice on a mount, and runs them. */
export function nodeCommand(program: Command): void {
  program
    .command('node')
    .description('run some blocks of a model, fetched from a store or read from a mount of it')
    .option('--model <org/name>', 'ORG/NAME[@REVISION]')
    .option(
      '--blocks <a:b>',
      'the blocks from A up to, and without, B; 0 adds the embeddings, the last one adds the head',
    )
    .option(
      '--slice <directory>',
      'in place of --model and --blocks: a slice that is there already, such as ' +
        '/mnt/calyx/slices/ORG/NAME@REVISION/0-4+embed on a mount of a store; its blocks are run from it, nothing is written',
    )
    .option(
      '--store <urls>',
      'addresses of stores, separated by commas (default: CALYX_STORE, the cluster that was joined, or this machine)',
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
    .option('--json', 'print a line of JSON for each event: fetching and fetched, or checking; listening')
    .option('--verbose', 'log every step')
    .action((options: NodeCommandOptions) =>
      runCommand(
        options,
        async (signal) => {
          const doing = options.slice === undefined ? 'fetching' : 'checking';
          const bar = progressBar(doing);
          const tell = (event: string, details: object): void => {
            if (options.json === true) printJson({ event, ...details });
          };
          const node = await runNode({
            stores: await storeAccess(options.store),
            source: blockSource(options, ({ fetched, bytesOnDisk }) => {
              bar.stop();
              const { bytesNeeded, bytesFetched, chunks, retries, seconds } = fetched;
              tell('fetched', { bytesNeeded, bytesFetched, bytesOnDisk, chunks, retries, seconds });
              if (options.json !== true)
                note(`fetched ${formatSize(bytesFetched)}; ${formatSize(bytesOnDisk)} on disk`);
            }),
            listen: parseListenAddress(options.listen),
            insecure: options.insecure === true,
            hostNames: options.hostName,
            advertise: options.advertise === undefined ? undefined : parseStoreUrls(options.advertise)[0],
            name: options.name,
            threads: parseThreads(options.threads),
            logger: createLogger('node', options.verbose === true),
            signal,
            onTotal: (bytes) => {
              bar.start(bytes);
              tell(doing, { bytes });
            },
            onBytes: (bytes) => bar.add(bytes),
          }).finally(() => bar.stop());
          const { model, revision } = node.slice;
          const blocks = formatBlockRange(node.slice.blocks);
          tell('listening', { name: node.name, url: node.url, model, revision, blocks });
          if (options.json !== true)
            note(`node ${node.name} serves the blocks ${blocks} of ${model}@${revision} on ${node.url}`);
          const failure = await Promise.race([aborted(signal), node.failed]);
          await node.close();
          if (failure !== undefined) throw failure;
          return 0;
        },
        true,
      ),
    );
}

/** Where the blocks come from; throws CalyxError `usage` for options that contradict each other. */
function blockSource(
  options: NodeCommandOptions,
  onFetched: NonNullable<BlocksToFetch['onFetched']>,
): BlocksToFetch | BlocksOfSlice {
  const { slice, model, blocks, data, budget } = options;
  if (slice !== undefined) {
    const given = Object.entries({ model, blocks, data, budget }).filter(([, value]) => value !== undefined);
    const [[name] = []] = given;
    if (name !== undefined)
      throw new CalyxError('usage', `--${name} does not go with --slice`, {
        hint: 'a slice says itself which blocks of which model it holds, and nothing is fetched',
      });
    if (slice === '')
      throw new CalyxError('usage', '--slice names no directory', {
        hint: 'is a variable in the command unset?',
      });
    return { from: 'slice', directory: slice };
  }
  if (model === undefined || blocks === undefined)
    throw new CalyxError('usage', `--${model === undefined ? 'model' : 'blocks'} is missing`, {
      hint: 'say which blocks to run: --model ORG/NAME --blocks 0:4 fetches them, --slice DIRECTORY takes those of a mounted slice',
    });
  return {
    from: 'stores',
    spec: parseModelSpec(model),
    blocks: parseBlockRange(blocks),
    dataDirectory: chosenDirectory(data, defaultNodeDirectory),
    budgetBytes: budget === undefined ? undefined : parseSize(budget),
    onFetched,
  };
}

function parseThreads(text: string): number {
  const threads = Number(text);
  if (Number.isInteger(threads) && threads >= 1 && threads <= 256) return threads;
  throw new CalyxError('usage', `--threads ${text} is not a number from 1 to 256`);
}
