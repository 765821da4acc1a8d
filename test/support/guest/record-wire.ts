import { join } from 'node:path';
import { cleanEnvironment } from '../cli.js';
import { ROOT } from '../directories.js';
import { HOST_ADDRESS, type GuestNetwork } from './network.js';

/** What to record. */
export interface WireToRecord {
  /** Where guests come. */
  readonly port: number;
  /** Where the server is. */
  readonly target: number;
  /** What goes to the server is written to `FILE.up`, what comes from it to `FILE.down`. */
  readonly file: string;
}

/** Starts a recorder on the host's end of a network between guests and a server there; it ends with the network. */
export async function recordWire(network: GuestNetwork, { port, target, file }: WireToRecord): Promise<void> {
  const script = join(ROOT, 'dist/test/support/guest/wire-recorder.js');
  const args = [script, String(port), HOST_ADDRESS, String(target), file];
  const { child, ended } = network.start(process.execPath, args, { env: cleanEnvironment() });
  await new Promise<void>((resolve, reject) => {
    child.stdout?.once('data', () => resolve());
    ended.then((how) => reject(new Error(`the recorder did not start: ${JSON.stringify(how)}`)), reject);
  });
}
