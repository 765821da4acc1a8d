import { readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanEnvironment, type Running } from '../../test/support/cli.js';
import { HOST_ADDRESS, type GuestNetwork } from '../../test/support/guest/network.js';
import { ganeshaFiles } from './ganesha-packages.js';
import { CALYX, ProcessError } from './processes.js';

/** An NFS server on the host's end of a network. */
export interface NfsServer {
  readonly name: 'calyx' | 'ganesha';
  readonly port: number;
  readonly mountPort: number;
  /** What clients mount, or where it lies for them: the directory of the model, by version 3 and 4 alike. */
  readonly path: string;
  /** Its own process. */
  readonly pid: number;
  stop(): Promise<void>;
}

/** It has an hour to be measured. */
const LIFETIME_MS = 3_600_000;
const START_TIMEOUT_MS = 60_000;
const CALYX_PORT = 2049;
const GANESHA_PORTS = { nfs: 2050, mount: 2051 } as const;

/** `calyx store`, as users start it. */
export async function startCalyxServer(
  network: GuestNetwork,
  data: string,
  model: string,
): Promise<NfsServer> {
  const nodeOptions = (process.env['CALYX_BENCH_NODE_OPTIONS'] ?? '').split(' ').filter(Boolean);
  const nfs = ['--nfs', `${HOST_ADDRESS}:${CALYX_PORT}`, '--allow', `${HOST_ADDRESS}/24`];
  const running = network.start(
    process.execPath,
    [...nodeOptions, CALYX, 'store', '--data', data, '--listen', '127.0.0.1:0', ...nfs, '--json'],
    { env: cleanEnvironment(), timeout: LIFETIME_MS },
  );
  await said(running, 'stdout', /listening/);
  const pid = running.child.pid ?? 0;
  const ports = { port: CALYX_PORT, mountPort: CALYX_PORT };
  return { name: 'calyx', ...ports, path: `/models/${model}`, pid, stop: () => stop(running, 'SIGTERM') };
}

/** nfs-ganesha with its back end for local files, which exports `model`; `directory` is made, for what it writes. */
export async function startGanesha(
  network: GuestNetwork,
  directory: string,
  model: string,
): Promise<NfsServer> {
  const files = ganeshaFiles();
  await rm(directory, { recursive: true, force: true });
  await mkdir(join(directory, 'recovery'), { recursive: true });
  const configuration = join(directory, 'ganesha.conf');
  await writeFile(configuration, ganeshaConfiguration(files.plugins, model, join(directory, 'recovery')));
  // Its portmapper leaves root, and with it the death of its parent: only a process namespace ends it for sure. A /run of their own
  // keeps the machine's portmapper out of it.
  const script = `
    mount -t tmpfs tmpfs /run && mkdir /run/rpcbind /run/ganesha
    '${files.rpcbind}' -f -s &
    until test -S /run/rpcbind.sock; do sleep 0.05; done
    exec '${files.ganesha}' -F -L STDERR -f '${configuration}' -p '${join(directory, 'pid')}'`;
  const isolated = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', script];
  const running = network.start('unshare', isolated, {
    env: cleanEnvironment({ LD_LIBRARY_PATH: files.libraries.join(':') }),
    timeout: LIFETIME_MS,
  });
  await said(running, 'stderr', /NFS SERVER INITIALIZED/);
  const parent = String(running.child.pid);
  const pid = Number(readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8').trim());
  const ports = { port: GANESHA_PORTS.nfs, mountPort: GANESHA_PORTS.mount };
  return { name: 'ganesha', ...ports, path: '/model', pid, stop: () => stop(running, 'SIGKILL') };
}

function ganeshaConfiguration(plugins: string, model: string, recovery: string): string {
  return `
NFS_CORE_PARAM {
  Plugins_Dir = "${plugins}";
  NFS_Port = ${GANESHA_PORTS.nfs}; MNT_Port = ${GANESHA_PORTS.mount};
  Protocols = 3, 4; mount_path_pseudo = true;
  Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false;
}
# Names of users come from getpwnam, because its ID mapper wants files in /etc and /usr.
NFSv4 { UseGetpwnam = true; Minor_Versions = 1, 2; Graceless = true; RecoveryRoot = "${recovery}"; }
EXPORT {
  Export_Id = 1; Path = "${model}"; Pseudo = "/model";
  Access_Type = RO; Squash = No_Root_Squash; SecType = sys; Protocols = 3, 4; Transports = TCP;
  FSAL { Name = VFS; }
}
LOG { Default_Log_Level = EVENT; }
`;
}

/** Waits for what a server says when it is ready. */
async function said({ child, ended }: Running, stream: 'stdout' | 'stderr', wanted: RegExp): Promise<void> {
  let text = '';
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void =>
        reject(new ProcessError(`${child.spawnargs.join(' ')}: ${why}: ${text.slice(-2000)}`));
      child[stream]?.on('data', (piece: string) => {
        text += piece;
        if (wanted.test(text)) resolve();
      });
      timer = setTimeout(() => fail('not ready in time'), START_TIMEOUT_MS);
      ended.then((end) => fail(`ended with ${String(end.code)}, ${end.stderr}`), reject);
    });
  } finally {
    clearTimeout(timer);
  }
}

async function stop({ child, ended }: Running, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  await ended.catch(() => undefined);
}
