import type { Command } from 'commander';
import { runStore } from '../app/store/run-store.js';
import { parseListenAddress } from '../protocols/http/create-server.js';
import { note, printJson } from './terminal.js';
import { aborted, runCommand, type CommonOptions } from './run-command.js';
import { createLogger } from './logger.js';
import { chosenDirectory, DEFAULT_LISTEN, defaultDataDirectory } from './settings.js';

interface StoreCommandOptions extends CommonOptions {
  readonly data?: string;
  readonly listen: string;
  readonly insecure?: boolean;
  readonly hostName: readonly string[];
}

/** `calyx store`: serves the models of a data directory. */
export function storeCommand(program: Command): void {
  program
    .command('store')
    .description('serve the one full copy: manifests and blobs over HTTP')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option(
      '--listen <host:port>',
      'where to listen; port 0 takes a free one',
      process.env['CALYX_LISTEN'] ?? DEFAULT_LISTEN,
    )
    .option(
      '--insecure',
      'listen beyond loopback although everyone who reaches this machine could read the models',
    )
    .option(
      '--host-name <name>',
      'a name by which clients call this machine (repeatable)',
      (name: string, names: string[]) => [...names, name.toLowerCase()],
      [],
    )
    .option('--json', 'print one line of JSON with the URL when it listens')
    .option('--verbose', 'log every step')
    .action((options: StoreCommandOptions) =>
      runCommand(
        options,
        async (signal) => {
          const dataDirectory = chosenDirectory(options.data, defaultDataDirectory);
          const store = await runStore({
            dataDirectory,
            listen: parseListenAddress(options.listen),
            insecure: options.insecure === true,
            hostNames: options.hostName,
            logger: createLogger('store', options.verbose === true),
          });
          if (options.json === true) printJson({ event: 'listening', url: store.url, data: dataDirectory });
          else {
            note(`store listening on ${store.url}, data in ${dataDirectory}`);
            note(`publish a model:   calyx add DIRECTORY --name ORG/NAME --data ${dataDirectory}`);
            note(
              `fetch some blocks: calyx fetch ORG/NAME --blocks 0:4 --into DIRECTORY --store ${store.url}`,
            );
          }
          await aborted(signal);
          await store.close();
          return 0;
        },
        true,
      ),
    );
}
