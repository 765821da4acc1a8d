import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cleanEnvironment, type Running } from '../cli.js';
import { ROOT } from '../directories.js';
import { HOST_ADDRESS, type GuestNetwork } from './network.js';
import type { TlsStoreConfig } from './tls-store-process.js';

const NFS_PORT = 2049;

/** A server of NFS over TLS on the host's end of a network. */
export interface TlsStore {
  /** Ends what the holder of a certificate may see. */
  revoke(name: string): void;
  kill(): Promise<void>;
}

let configs = 0;

/** Starts a server that guests can mount at 10.97.0.1, and waits until it listens. */
export async function startTlsStore(
  network: GuestNetwork,
  config: Omit<TlsStoreConfig, 'host' | 'port'>,
): Promise<TlsStore> {
  const file = join(network.directory, `tls-store-${String((configs += 1))}.json`);
  writeFileSync(file, JSON.stringify({ ...config, host: HOST_ADDRESS, port: NFS_PORT }), { mode: 0o600 });
  const running = await startScript(network, 'tls-store-process.js', [file]);
  return {
    revoke: (name) => void running.child.stdin?.write(`revoke ${name}\n`),
    kill: async () => {
      running.child.kill('SIGKILL');
      await running.ended;
    },
  };
}

/** A recorder on the host's end between guests that come to `port` and the server at `target`; what it writes is in `FILE.up` and `FILE.down`. */
export async function recordWire(
  network: GuestNetwork,
  {
    port,
    target = NFS_PORT,
    file,
  }: { readonly port: number; readonly target?: number; readonly file: string },
): Promise<void> {
  await startScript(network, 'wire-recorder.js', [String(port), HOST_ADDRESS, String(target), file]);
}

async function startScript(network: GuestNetwork, name: string, args: readonly string[]): Promise<Running> {
  const script = join(ROOT, 'dist/test/support/guest', name);
  const running = network.start(process.execPath, [script, ...args], {
    env: cleanEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  await new Promise<void>((resolve, reject) => {
    running.child.stdout?.once('data', () => resolve());
    running.ended.then(
      (ended) => reject(new Error(`${name} did not start: ${JSON.stringify(ended)}`)),
      reject,
    );
  });
  return running;
}
