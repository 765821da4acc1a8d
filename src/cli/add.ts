import { Option, type Command } from 'commander';
import { addModel } from '../app/catalog/add-model.js';
import { formatModelName, parseModelName } from '../core/names.js';
import { formatSize } from '../core/units.js';
import { note, print, printJson, progressBar } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

interface AddCommandOptions extends CommonOptions {
  readonly name: string;
  readonly data?: string;
  readonly link?: boolean;
  readonly reflink?: boolean;
}

/** `calyx add DIR --name ORG/NAME`: publishes a model. */
export function addCommand(program: Command): void {
  program
    .command('add')
    .description("publish a model of this machine into the store's data directory")
    .argument(
      '<path>',
      'the model: a directory with config.json, safetensors weights, tokenizer; or a GGUF file',
    )
    .requiredOption('--name <org/name>', 'the name under which it is published')
    .option(
      '--data <directory>',
      "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
    )
    .option(
      '--link',
      'hard links instead of copies where the file system allows; then nobody may write to the originals',
    )
    .addOption(
      new Option(
        '--reflink',
        'clones that share their space on the disk, where the file system allows',
      ).conflicts('link'),
    )
    .option('--json', 'print the result as JSON')
    .option('--verbose', 'show where errors come from')
    .action((directory: string, options: AddCommandOptions) =>
      runCommand(options, async (signal) => {
        const model = parseModelName(options.name);
        const bar = progressBar('adding');
        try {
          const added = await addModel({
            dataDirectory: chosenDirectory(options.data, defaultDataDirectory),
            directory,
            model,
            mode: options.link === true ? 'link' : options.reflink === true ? 'reflink' : 'copy',
            signal,
            onTotal: (bytes) => bar.start(bytes),
            onBytes: (bytes) => bar.add(bytes),
            onNotice: note,
          });
          bar.stop();
          if (options.json === true) printJson({ model: options.name, ...added });
          else if (!added.changed)
            print(`${formatModelName(model)} is already published as revision ${added.revision}`);
          else
            print(
              `published ${formatModelName(model)}@${added.revision}: ${added.blocks} blocks, ${added.files} files, ${formatSize(added.bytes)}`,
            );
        } finally {
          bar.stop();
        }
        return 0;
      }),
    );
}
