import { canMount, NFS_VERSIONS, type NfsVersion } from './client-facts.js';
import type { AdviceInput } from './advice-input.js';
import { chooseConnections } from './choose-connections.js';
import type { SettingChoice } from './choose-smallest.js';
import { chooseReadAhead } from './choose-read-ahead.js';
import { chooseVersion, type VersionChoice } from './choose-version.js';
import { mountCommands, mountSource } from './mount-commands.js';
import { mountOptions, optionString, type MountOption } from './mount-options.js';
import { mountWarnings } from './mount-warnings.js';
import { shellQuote } from '../../core/shell-quote.js';

/** How a client should mount a store. */
export interface MountAdvice {
  readonly version: VersionChoice;
  readonly connections: SettingChoice;
  readonly readAheadKb: SettingChoice;
  readonly options: readonly MountOption[];
  /** `HOST:PATH`. */
  readonly source: string;
  readonly mountPoint: string;
  /** What to type, in order, as root. */
  readonly commands: readonly string[];
  /** What stands in the way, or should be known. */
  readonly warnings: readonly string[];
}

/** The options in the form of fstab(5). */
export function adviceOptions(advice: MountAdvice): string {
  return optionString(advice.options);
}

/** The right mount for a client, from what it is and what was measured; undefined if the store offers no version at all. */
export function adviseMount(input: AdviceInput): MountAdvice | undefined {
  const { client, link, store, measurements, host, port, path, mountPoint } = input;
  const offered = NFS_VERSIONS.filter((version) => store.versions[version] !== 'no');
  const usable = usableVersions(input, offered);
  const results = measurements.results.filter(({ trial }) => usable.includes(trial.version));
  const version = chooseVersion(results, usable);
  if (version === undefined) return undefined;
  const connections = chooseConnections(client, link, version.version, results);
  const readAheadKb = chooseReadAhead(client, link, version.version, results);
  const security = store.tls === 'required' ? ('tls' as const) : undefined;
  const target = { version: version.version, port, connections: connections.value, security };
  return {
    version,
    connections,
    readAheadKb,
    options: withFigures(mountOptions(target), version, connections),
    source: mountSource(host, path),
    mountPoint,
    commands: [
      `mkdir -p ${shellQuote(mountPoint)}`,
      ...mountCommands({
        host,
        port,
        versions: [version.version],
        path,
        mountPoint,
        connections: connections.value,
        security,
      }),
      readAheadCommand(mountPoint, readAheadKb.value),
    ],
    warnings: mountWarnings(input),
  };
}

/** Sets how far a mount reads ahead, until it is unmounted. */
function readAheadCommand(mountPoint: string, kib: number): string {
  return `echo ${kib} > /sys/class/bdi/$(mountpoint -d ${shellQuote(mountPoint)})/read_ahead_kb`;
}

/** What the kernel could mount and what did not fail; all that is offered if that leaves nothing, for the machine may be mended. */
function usableVersions(
  { client, measurements }: AdviceInput,
  offered: readonly NfsVersion[],
): readonly NfsVersion[] {
  const mountFailed = measurements.failed.filter(({ by }) => by === 'mount').map(({ version }) => version);
  const usable = offered.filter((version) => canMount(client, version) && !mountFailed.includes(version));
  return usable.length > 0 ? usable : offered;
}

/** The reasons of options that were measured are their figures. */
function withFigures(
  options: readonly MountOption[],
  version: VersionChoice,
  connections: SettingChoice,
): MountOption[] {
  return options.map(({ option, why }) => {
    if (option.startsWith('vers=')) return { option, why: version.why };
    if (option.startsWith('nconnect=')) return { option, why: connections.why };
    return { option, why };
  });
}
