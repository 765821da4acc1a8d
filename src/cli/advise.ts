import { createInterface } from 'node:readline/promises';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { advise, type Advised } from '../app/advise/advise.js';
import { planApplication, writeApplication, type Application } from '../app/advise/apply-advice.js';
import type { StoreAddress } from '../app/advise/probe-link.js';
import { CalyxError } from '../core/errors.js';
import { formatSpeed } from '../placement/mount-advice/measurement.js';
import { DEFAULT_MOUNT_POINT } from '../placement/mount-advice/mount-commands.js';
import { afterApply, type ApplyKind } from '../placement/mount-advice/plan-files.js';
import { showChange } from '../placement/mount-advice/show-change.js';
import { escapePath } from '../placement/mount-advice/systemd-name.js';
import { printAdvice } from './advise-report.js';
import { EXIT, runCommand, type CommonOptions } from './run-command.js';
import { note, print, printJson } from './terminal.js';

interface AdviseCommandOptions extends CommonOptions {
  readonly nfs: string;
  readonly path: string;
  readonly mountPoint: string;
  readonly seconds: number;
  readonly apply?: ApplyKind;
  readonly yes?: boolean;
  readonly root: string;
}

const DEFAULT_PORT = 2049;
const DEFAULT_SECONDS = 30;
const MAX_SECONDS = 3600;

/** `calyx advise`: the right mount for this machine. */
export function adviseCommand(program: Command): void {
  program
    .command('advise')
    .description('find the best way to mount a store on this machine: look, measure, recommend')
    .requiredOption(
      '--nfs <host[:port]>',
      `the store's NFS address; the port is ${DEFAULT_PORT} if not given`,
    )
    .option('--path <directory>', 'the directory of the store to mount, such as /models/ORG/NAME', '/')
    .option('--mount-point <directory>', 'where the mount will be', DEFAULT_MOUNT_POINT)
    .option('--seconds <number>', 'how long to measure, about', parseSeconds, DEFAULT_SECONDS)
    .addOption(
      new Option(
        '--apply <how>',
        'write the mount into /etc/fstab or as a systemd unit, after showing it',
      ).choices(['fstab', 'systemd']),
    )
    .option('--yes', 'with --apply: write without asking')
    .option('--root <directory>', 'with --apply: the root of the system to write into', '/')
    .option('--json', 'print facts, measurements and advice as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: AdviseCommandOptions) =>
      runCommand(options, async (signal) => {
        checkOptions(options);
        const advised = await advise({
          store: parseStore(options.nfs),
          path: options.path,
          mountPoint: options.mountPoint,
          seconds: options.seconds,
          signal,
          onProgress: (what, speed) => {
            if (process.stderr.isTTY) note(speed === undefined ? what : `${what}: ${formatSpeed(speed)}`);
          },
        });
        return finish(options, advised, signal);
      }),
    );
}

/** Prints, and applies if asked to. */
async function finish(options: AdviseCommandOptions, advised: Advised, signal: AbortSignal): Promise<number> {
  const { advice } = advised;
  if (options.apply === undefined) {
    if (options.json === true) printJson(advised);
    else printAdvice(advised);
    return 0;
  }
  if (options.json !== true) printAdvice(advised);
  const application = planApplication(advice, options.apply, options.root);
  const show = options.json === true ? note : print;
  if (options.json !== true) print('');
  for (const change of application.changes) show(showChange(change));
  if (application.changes.length === 0) show('everything is written already');
  const agreed = options.yes === true || application.changes.length === 0 || (await ask(signal));
  if (agreed) await writeApplication(application);
  const applied = agreed ? application.changes.map(({ path }) => path) : [];
  if (options.json === true) printJson({ ...advised, applied });
  else if (agreed) printNext(advised, application);
  else note('nothing was written');
  return agreed ? 0 : EXIT.failure;
}

function printNext({ advice }: Advised, application: Application): void {
  for (const { path } of application.changes) print(`wrote ${path}`);
  // Another system than this one: it mounts when it boots.
  if (application.root !== '/') return;
  print('to mount now, as root:');
  for (const command of afterApply(advice, application)) print(`  ${command}`);
}

async function ask(signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question('write this? [y/N] ', { signal })).trim());
  } finally {
    terminal.close();
  }
}

/** All that can be known to be wrong before anything is measured. */
function checkOptions({ path, mountPoint, apply, yes, json }: AdviseCommandOptions): void {
  if (!path.startsWith('/') || path.split('/').includes('..'))
    throw new CalyxError('usage', `'${path}' is not a directory of a store`, {
      hint: 'write it from the root of the store: /, or /models/ORG/NAME',
    });
  if (escapePath(mountPoint) === '-')
    throw new CalyxError('usage', 'a mount on / would hide this system', {
      hint: 'choose another --mount-point',
    });
  if (apply !== undefined && yes !== true && (!process.stdin.isTTY || json === true))
    throw new CalyxError('usage', '--apply asks before it writes, which needs a terminal', {
      hint: 'add --yes to write without asking',
    });
}

/** `HOST`, `HOST:PORT`, `[IPv6]`, `[IPv6]:PORT` or a bare IPv6 address; throws CalyxError `usage`. */
function parseStore(text: string): StoreAddress {
  const match =
    /^(?:\[([\da-fA-F:.]+)\]|([^\s:[\]/]+))(?::(\d{1,5}))?$/.exec(text) ??
    /^([\da-fA-F]*(?::[\da-fA-F.]*){2,})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3] ?? DEFAULT_PORT);
  if (host === undefined || port < 1 || port > 65_535)
    throw new CalyxError('usage', `'${text}' is not the address of a store`, {
      hint: `write HOST or HOST:PORT, for example 10.0.0.1:${DEFAULT_PORT}`,
    });
  return { host, port };
}

function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds >= 1 && seconds <= MAX_SECONDS))
    throw new InvalidArgumentError(`write a number of seconds from 1 to ${MAX_SECONDS}`);
  return seconds;
}
