import { startCalyx, type Ended, type Running } from './cli.js';

/** A `calyx store` in a process of its own. */
export interface RunningStore {
  readonly url: string;
  readonly port: number;
  /** Where it serves NFS, and how that is mounted. */
  readonly nfs: Listening['nfs'];
  readonly pid: number;
  readonly process: Running;
  /** Ends it with SIGTERM, or with the signal given. */
  stop(signal?: NodeJS.Signals): Promise<Ended>;
}

/** What a store says when it listens. */
interface Listening {
  readonly url: string;
  readonly nfs: {
    readonly host: string;
    readonly port: number;
    readonly mount: Readonly<Record<string, string>>;
  } | null;
}

/** Starts a store and waits for the line by which it says that it listens; `port` 0 takes a free one. */
export async function startStore(
  data: string,
  options: {
    readonly listen?: string;
    readonly nfs?: string;
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  } = {},
): Promise<RunningStore> {
  const listen = options.listen ?? '127.0.0.1:0';
  const mounts = options.nfs === undefined ? ['--no-nfs'] : ['--nfs', options.nfs];
  const args = ['store', '--data', data, '--listen', listen, ...mounts, '--json', ...(options.args ?? [])];
  const running = startCalyx(args, options.env);
  const said = await new Promise<Listening>((resolve, reject) => {
    let text = '';
    running.child.stdout?.on('data', (piece: string) => {
      text += piece;
      if (text.includes('\n')) resolve(JSON.parse(text) as Listening);
    });
    void running.ended.then((ended) => {
      reject(new Error(`the store did not start: ${JSON.stringify(ended)}`));
    }, reject);
  });
  const { pid } = running.child;
  if (pid === undefined) throw new Error('the store has no process id');
  const { url, nfs } = said;
  return {
    url,
    nfs,
    port: Number(new URL(url).port),
    pid,
    process: running,
    stop: (signal = 'SIGTERM') => {
      running.child.kill(signal);
      return running.ended;
    },
  };
}

/** The value of a metric of a store. */
export async function metric(url: string, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const value = new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`there is no metric ${name}`);
  return Number(value);
}

/** Bytes of blobs that a store has sent so far. */
export function egress(url: string): Promise<number> {
  return metric(url, 'calyx_store_blob_bytes_sent_total');
}
