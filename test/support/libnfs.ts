import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { start, type Ended } from './cli.js';

/** Why libnfs's tools cannot be used here, or undefined if they can. In continuous integration they must be there. */
export const noLibnfs = ((): string | undefined => {
  // Without arguments it tells how it is used.
  const { error, status } = spawnSync('nfs-cat', [], { stdio: 'ignore' });
  if (error === undefined && status === 0) return undefined;
  const reason = 'nfs-cat does not work here: install libnfs-utils';
  if (process.env['CI'] !== undefined) throw new Error(reason);
  return reason;
})();

/** The address of a path for libnfs's tools. */
export function nfsUrl(port: number, path: string, version: 3 | 4): string {
  const mount = version === 3 ? `&mountport=${port}` : '';
  return `nfs://127.0.0.1${path}?version=${version}&nfsport=${port}${mount}`;
}

/** Runs one of the tools to its end. */
export function libnfs(tool: 'nfs-ls' | 'nfs-cat' | 'nfs-cp', ...args: string[]): Promise<Ended> {
  return start(tool, args).ended;
}

/** The SHA-256 of a file as nfs-cat reads it; throws with what it said if it failed. */
export async function sha256OverNfs(url: string): Promise<string> {
  const child = spawn('nfs-cat', [url], { stdio: ['ignore', 'pipe', 'pipe'] });
  const hash = createHash('sha256');
  let said = '';
  child.stdout.on('data', (data: Buffer) => hash.update(data));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) throw new Error(`nfs-cat ended with ${String(code)}: ${said}`);
  return hash.digest('hex');
}
