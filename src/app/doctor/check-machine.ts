import { errorMessage, isCalyxError } from '../../core/errors.js';
import { readClientFacts } from '../advise/client-facts.js';
import { systemFiles } from '../advise/system-files.js';
import { clusterFiles, readCluster, type JoinedCluster } from '../join/cluster-file.js';
import { rightfulOwners } from '../../storage/files/privacy.js';
import { CALYX_VERSION } from '../version.js';
import { checkClock, type Validity } from './checks/clock.js';
import { checkEnvironment } from './checks/environment.js';
import { checkJoinedFiles } from './checks/joined-files.js';
import { checkKernelNfs } from './checks/kernel-nfs.js';
import { checkNodeDisk } from './checks/node-disk.js';
import { checkNodeVersion } from './checks/node-version.js';
import { checkReach } from './checks/reach-stores.js';
import { checkVersions } from './checks/store-version.js';
import { checkTokenStanding } from './checks/token-standing.js';
import { Checkup } from './checkup.js';
import type { AddressFacts } from './facts/address-facts.js';
import { certificateValidity } from './facts/certificate-validity.js';
import { diskFacts } from './facts/disk-facts.js';
import { fileFacts } from './facts/file-facts.js';
import { probeAddress } from './facts/probe-address.js';
import { storeTargets, type Targets } from './facts/targets.js';
import { tlshdRuns } from './facts/tlshd.js';
import { unseen, type Finding } from './finding.js';

/** What is looked at on a machine. */
export interface MachineOptions {
  /** The text of `--store`. */
  readonly store: string | undefined;
  /** Where nodes keep their blocks. */
  readonly nodeDirectory: string;
  readonly env: NodeJS.ProcessEnv;
}

/** Looks at this machine, and goes to the stores that it would ask. Throws CalyxError `usage` for `--store` that names none. */
export async function checkMachine(options: MachineOptions, signal: AbortSignal): Promise<Finding[]> {
  const { env, nodeDirectory } = options;
  const { joined, damage, unusable } = await readJoined(env);
  // Then commands fail, and do not look elsewhere.
  const unknown = unusable === true && options.store === undefined && env['CALYX_STORE'] === undefined;
  const { targets, asked } = unknown ? NOBODY : targetsOf(options, joined);
  const probes = Promise.all(targets.map((target) => probeAddress(target, signal)));
  // Each check that needs them says what went wrong.
  probes.catch(() => undefined);
  const checks = new Checkup('machine', signal);
  checks.add('node.js', () => checkNodeVersion(process.versions.node));
  checks.add('clock', async () => checkClock(clockFacts(await probes, joined)));
  checks.add('joined cluster', async () => {
    const files = clusterFiles(env);
    const [cluster, ca] = await Promise.all([fileFacts(files.cluster), fileFacts(files.ca)]);
    return checkJoinedFiles({ cluster, ca, owners: await rightfulOwners(files.cluster), damage });
  });
  checks.add('stores', async () =>
    unknown
      ? [
          unseen(
            'the stores of the cluster that was joined',
            'what was kept of it is not used until it is mended',
          ),
        ]
      : checkReach(await probes, asked),
  );
  checks.add('token', async () => checkTokenStanding(await probes, Date.now()));
  checks.add('version', async () => checkVersions(CALYX_VERSION, await probes));
  checks.add('nfs client', () => {
    const files = systemFiles('/');
    const facts = readClientFacts(files);
    return checkKernelNfs(facts, facts.tls.tlshd && tlshdRuns(files));
  });
  checks.add('node disk', async () => checkNodeDisk(nodeDirectory, await diskFacts(nodeDirectory)));
  checks.add('environment', () => checkEnvironment({ env, joined: joined !== undefined }));
  return checks.findings();
}

const NOBODY: Targets = { targets: [], asked: false };

interface Joined {
  readonly joined: JoinedCluster | undefined;
  /** Why it cannot be used. */
  readonly unusable?: boolean;
  readonly damage?: { readonly message: string; readonly hint: string | undefined };
}

async function readJoined(env: NodeJS.ProcessEnv): Promise<Joined> {
  try {
    return { joined: await readCluster(env) };
  } catch (error) {
    // That others may read it is told with its permissions.
    if (isCalyxError(error, 'refused')) return { joined: undefined, unusable: true };
    const hint = isCalyxError(error) ? error.hint : undefined;
    return { joined: undefined, unusable: true, damage: { message: errorMessage(error), hint } };
  }
}

/** A wrong CALYX_STORE is told with the environment; a wrong `--store` is a mistake of who asks. */
function targetsOf({ store, env }: MachineOptions, joined: JoinedCluster | undefined): Targets {
  try {
    return storeTargets(store, env, joined);
  } catch (error) {
    if (store !== undefined) throw error;
    return NOBODY;
  }
}

function clockFacts(
  addresses: readonly AddressFacts[],
  joined: JoinedCluster | undefined,
): Parameters<typeof checkClock>[0] {
  const offsets = addresses.flatMap(({ server, offsetMs }) =>
    offsetMs === undefined ? [] : [{ server, offsetMs }],
  );
  const shown = addresses.flatMap(({ certificate }): Validity[] =>
    certificate === undefined ? [] : [certificate],
  );
  const ca = joined === undefined ? [] : [certificateValidity('the cluster that was joined', joined.ca)];
  return { now: Date.now(), offsets, certificates: [...ca, ...shown] };
}
