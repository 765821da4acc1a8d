import { hostname } from 'node:os';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { TokenCommands, type MadeToken } from '../app/store/token-commands.js';
import { StoreLayout } from '../catalog/store-layout.js';
import { ROLES, type Role } from '../core/access.js';
import { formatJoinString, isAddress, parseToken } from '../core/cluster-token.js';
import { CalyxError } from '../core/errors.js';
import { parseDuration } from '../core/duration.js';
import { note, print, printJson, printTable } from './terminal.js';
import { runCommand, type CommonOptions } from './run-command.js';
import { chosenDirectory, defaultDataDirectory } from './settings.js';

interface DataOptions extends CommonOptions {
  readonly data?: string;
}

interface CreateOptions extends DataOptions {
  readonly role: string;
  readonly models: string;
  readonly expires?: string;
  readonly name?: string;
  readonly address: readonly string[];
}

const DATA = [
  '--data <directory>',
  "the store's data directory (default: CALYX_DATA, or calyx/store in the XDG data directory)",
] as const;

/** `calyx token create|list|revoke`: who may come in. */
export function tokenCommand(program: Command): void {
  const token = program.command('token').description('let machines in: make, list and revoke tokens');
  createCommand(token);
  listCommand(token);
  revokeCommand(token);
}

function createCommand(token: Command): void {
  token
    .command('create')
    .description('make a token and print the one line to paste on another machine; it is shown this once')
    .option(
      '--role <role>',
      `what it allows: ${ROLES.join(', ')}; each also what those before it allow`,
      'read',
    )
    .option('--models <pattern>', "the models that it shows: ORG/NAME, 'ORG/*', or '*' for all", '*')
    .option('--expires <time>', 'when it ends: 12h, 30d, 1y (default: when it is revoked)')
    .option('--name <name>', 'whose it is, for lists and the audit log')
    .option(
      '--address <host:port>',
      'where a store is reached, if not where it listens; also those of further stores (repeatable)',
      (address: string, addresses: string[]) => [...addresses, address],
      [],
    )
    .option(...DATA)
    .option('--json', 'print the join string and the id as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: CreateOptions) =>
      runCommand(options, async (signal) => {
        const wrong = options.address.find((address) => !isAddress(address));
        if (wrong !== undefined)
          throw new CalyxError('usage', `'${wrong.slice(0, 100)}' is not HOST:PORT`, {
            hint: 'for example --address 10.0.0.1:7070',
          });
        const role = parseRole(options.role);
        const name = options.name ?? `${role} of ${hostname()}`;
        const { models } = options;
        const expiresInMs = options.expires === undefined ? undefined : parseDuration(options.expires);
        const tokens = commands(options, signal);
        const made = await tokens.create({ name, role, models, expiresInMs });
        const join = joinString(made, options.address);
        if (join === undefined) {
          // Nobody could use it, and nobody would know of it.
          await tokens.revoke(made.id);
          throw new CalyxError(
            'usage',
            'no store runs on this directory, so it is not known where it is reached',
            {
              hint: 'start it, or say it: --address HOST:PORT',
            },
          );
        }
        if (!made.secured && options.address.length === 0) {
          // Nobody can join there, and whoever sent it there nevertheless would send it in clear.
          await tokens.revoke(made.id);
          throw new CalyxError(
            'refused',
            `the store that runs at ${made.address ?? 'this directory'} speaks plain HTTP, so nobody can join it; no token was kept`,
            {
              hint: 'start it with --tls, or on another address without --insecure; or say where a secured store of this cluster is reached: --address HOST:PORT',
            },
          );
        }
        if (!made.secured)
          note(
            'the store that runs here speaks plain HTTP: the token is for those at --address, and would travel in clear to this one',
          );
        if (options.json === true) printJson({ join, id: made.id, name, role, models });
        else {
          note(`token ${made.id} (${name}): ${role}, ${models}. On the other machine:\n`);
          print(`calyx join '${join}'`);
        }
        return 0;
      }),
    );
}

function listCommand(token: Command): void {
  token
    .command('list')
    .description('list the tokens; their secrets are kept by nobody')
    .option(...DATA)
    .option('--json', 'print the list as JSON')
    .option('--verbose', 'show where errors come from')
    .action((options: DataOptions) =>
      runCommand(options, async (signal) => {
        const tokens = await commands(options, signal).list();
        if (options.json === true) printJson({ tokens });
        else if (tokens.length === 0) print('no tokens; make one with: calyx token create');
        else {
          const now = Date.now();
          const rows = tokens.map(({ id, name, role, models, createdAt, expiresAt, revokedAt }) => [
            id,
            name,
            role,
            models,
            day(createdAt),
            revokedAt !== undefined
              ? `revoked ${day(revokedAt)}`
              : expiresAt === undefined
                ? 'good'
                : `${expiresAt <= now ? 'expired' : 'good until'} ${day(expiresAt)}`,
          ]);
          printTable(['id', 'name', 'role', 'models', 'made', 'state'], rows, []);
        }
        return 0;
      }),
    );
}

function revokeCommand(token: Command): void {
  token
    .command('revoke')
    .description('end a token: its connections are cut, and it opens nothing any more')
    .argument('<id>', 'as `calyx token list` shows it')
    .option(...DATA)
    .option('--json', 'print the token as JSON')
    .option('--verbose', 'show where errors come from')
    .action((id: string, options: DataOptions) =>
      runCommand(options, async (signal) => {
        const revoked = await commands(options, signal).revoke(id);
        if (options.json === true) printJson(revoked);
        else print(`revoked ${revoked.id} (${revoked.name})`);
        return 0;
      }),
    );
}

function commands(options: DataOptions, signal: AbortSignal): TokenCommands {
  return new TokenCommands(
    new StoreLayout(resolve(chosenDirectory(options.data, defaultDataDirectory))),
    signal,
  );
}

function parseRole(text: string): Role {
  const role = ROLES.find((known) => known === text);
  if (role !== undefined) return role;
  throw new CalyxError('usage', `'${text.slice(0, 100)}' is no role`, {
    hint: `roles are ${ROLES.join(', ')}`,
  });
}

/** Where it is known how the store is reached. */
function joinString({ token, address }: MadeToken, given: readonly string[]): string | undefined {
  const addresses = given.length > 0 ? given : address === undefined ? [] : [address];
  const parsed = parseToken(token);
  return parsed === undefined || addresses.length === 0
    ? undefined
    : formatJoinString({ addresses, token: parsed });
}

function day(time: number): string {
  return new Date(time).toISOString().slice(0, 16).replace('T', ' ');
}
