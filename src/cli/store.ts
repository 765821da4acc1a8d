import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { parseAllowRule, type AllowRule } from '../app/store/nfs/nfs-access.js';
import type { NfsConfig } from '../app/store/nfs/serve-nfs.js';
import { replicaAccess } from '../app/store/replica/replica-access.js';
import type { OriginConfig } from '../app/origin/open-origin.js';
import { S3Objects } from '../app/origin/s3-objects.js';
import { runStore } from '../app/store/run-store.js';
import type { ContentLayout } from '../catalog/content-layout.js';
import { StoreLayout } from '../catalog/store-layout.js';
import { CalyxError } from '../core/errors.js';
import { parseSize } from '../core/units.js';
import type { MountSecurity } from '../placement/mount-advice/mount-options.js';
import { parseListenAddress } from '../protocols/http/create-server.js';
import { noteListening, printListening } from './store-report.js';
import { aborted, runCommand, type CommonOptions } from './run-command.js';
import { createLogger } from './logger.js';
import { chosenDirectory, DEFAULT_LISTEN, DEFAULT_NFS, defaultDataDirectory } from './settings.js';

interface StoreCommandOptions extends CommonOptions {
  readonly data?: string;
  readonly listen: string;
  readonly tls?: boolean;
  readonly insecure?: boolean;
  readonly replica?: boolean;
  readonly layout?: ContentLayout;
  readonly origin?: string;
  readonly cacheSize?: string;
  readonly originPoll: string;
  readonly hostName: readonly string[];
  /** False for `--no-nfs`. */
  readonly nfs: string | false;
  readonly allow: readonly string[];
  readonly privilegedPorts?: boolean;
  readonly nfsRequireTls?: boolean;
  readonly nfsRequireClientCert?: boolean;
}

/** `calyx store`: serves the models of a data directory. */
export function storeCommand(program: Command): void {
  program
    .command('store')
    .description('serve the one full copy: by NFS to mount, and over HTTP')
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
      '--tls',
      'speak TLS and ask for tokens on loopback too, and serve NFS only if an option of it is given; beyond loopback a store always speaks TLS',
    )
    .option(
      '--insecure',
      'speak plain HTTP beyond loopback too and ask nobody: everyone who reaches this machine can read the models',
    )
    .option(
      '--replica',
      'serve a copy of the models of the cluster that this machine has joined with a token of role admin: its tokens count here, too',
    )
    .addOption(
      new Option(
        '--layout <layout>',
        'how the data directory keeps models: as plain files, or as chunks, by which revisions and fine-tunes share their equal tensors; stays so (default: as it does, at first files)',
      ).choices(['files', 'chunks']),
    )
    .option(
      '--origin <s3://bucket/prefix>',
      'serve also the models that lie there as ORG/NAME/..., through a disk cache; they take no other room',
      process.env['CALYX_ORIGIN'],
    )
    .option(
      '--cache-size <size>',
      'what the disk cache before --origin may take, e.g. 200GB (default: half of what is free)',
    )
    .option('--origin-poll <seconds>', 'how often the bucket is listed for what has changed', '60')
    .option(
      '--host-name <name>',
      'a name by which clients call this machine (repeatable)',
      (name: string, names: string[]) => [...names, name.toLowerCase()],
      [],
    )
    .option(
      '--nfs <host:port>',
      'where to serve NFS versions 3, 4.1 and 4.2',
      process.env['CALYX_NFS'] ?? DEFAULT_NFS,
    )
    .option('--no-nfs', 'do not serve NFS')
    .addOption(
      new Option(
        '--allow <cidr[=models]>',
        "addresses that may mount, and what they see: 10.0.0.0/24, '10.0.0.7=acme/*' (repeatable)",
      )
        .argParser((rule: string, rules: readonly string[]) => [...rules, rule])
        .default([], 'this machine alone'),
    )
    .option('--privileged-ports', 'let only root on the clients mount: source ports below 1024')
    .option('--nfs-require-tls', 'let nobody mount without TLS (RFC 9289): xprtsec=tls')
    .option(
      '--nfs-require-client-cert',
      'let only clients mount that show a certificate of the cluster: xprtsec=mtls',
    )
    .option('--json', 'print one line of JSON with the URL when it listens')
    .option('--verbose', 'log every step')
    .action((options: StoreCommandOptions, command: Command) =>
      runCommand(
        options,
        async (signal) => {
          const dataDirectory = chosenDirectory(options.data, defaultDataDirectory);
          const layout = new StoreLayout(resolve(dataDirectory));
          const allow = options.allow.map(parseAllowRule);
          // Nobody has said where NFS is to be served, or to whom.
          const nfsUnasked =
            command.getOptionValueSource('nfs') === 'default' &&
            process.env['CALYX_NFS'] === undefined &&
            !limitsMounts(options);
          // NFS on loopback is for every user of the machine, of whom --tls asks for tokens.
          const nfsLeftOut = nfsUnasked && options.tls === true;
          const store = await runStore({
            dataDirectory,
            listen: parseListenAddress(options.listen),
            tls: options.tls === true,
            insecure: options.insecure === true,
            hostNames: options.hostName,
            nfs: nfsLeftOut ? undefined : nfsConfig(options, allow),
            // Whoever asked for no port in particular may have a kernel's NFS server, or another store, on the usual one.
            nfsOptional: nfsUnasked,
            replicaOf: options.replica === true ? await replicaAccess(layout) : undefined,
            contentLayout: options.layout,
            origin: originConfig(options),
            logger: createLogger('store', options.verbose === true),
            signal,
          });
          const security = mountSecurity(options);
          if (options.json === true) printListening(store, dataDirectory, security);
          else noteListening(store, dataDirectory, { allow, security, nfsLeftOut });
          const over = await Promise.race([aborted(signal), store.over]);
          await store.close();
          if (over !== undefined) throw over;
          return 0;
        },
        true,
      ),
    );
}

/** Whether and how NFS is served; throws CalyxError `usage` for options that contradict each other. */
function nfsConfig(options: StoreCommandOptions, allow: readonly AllowRule[]): NfsConfig | undefined {
  if (options.nfs !== false)
    return {
      listen: parseListenAddress(options.nfs),
      allow,
      privilegedPorts: options.privilegedPorts === true,
      requireTls: options.nfsRequireTls === true,
      requireClientCertificate: options.nfsRequireClientCert === true,
    };
  if (!limitsMounts(options)) return undefined;
  const limits = '--allow, --privileged-ports, --nfs-require-tls and --nfs-require-client-cert';
  throw new CalyxError('usage', `${limits} do not go with --no-nfs`, {
    hint: 'they say who may mount, and without NFS nobody can',
  });
}

/** Object storage behind the store, and the cache before it; throws CalyxError `usage`. */
function originConfig({ origin, cacheSize, originPoll }: StoreCommandOptions): OriginConfig | undefined {
  const seconds = Number(originPoll);
  if (!(seconds >= 1 && seconds <= 86_400))
    throw new CalyxError('usage', `'${originPoll}' is not a time between two listings`, {
      hint: 'write it in seconds, from 1 to 86400',
    });
  if (origin !== undefined)
    return {
      bucket: new S3Objects(origin),
      cacheBytes: cacheSize === undefined ? undefined : parseSize(cacheSize),
      pollMs: seconds * 1000,
    };
  if (cacheSize === undefined) return undefined;
  throw new CalyxError('usage', '--cache-size says what the cache before --origin may take', {
    hint: 'add --origin s3://BUCKET/PREFIX',
  });
}

function limitsMounts(options: StoreCommandOptions): boolean {
  return options.allow.length > 0 || options.privilegedPorts === true || mountSecurity(options) !== undefined;
}

/** How clients must protect a mount, as its options call it. */
function mountSecurity(options: StoreCommandOptions): MountSecurity | undefined {
  if (options.nfsRequireClientCert === true) return 'mtls';
  return options.nfsRequireTls === true ? 'tls' : undefined;
}
