import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { start } from './cli.js';
import { ROOT } from './directories.js';
import type { TestCertificate } from './openssl-pki.js';

/** What Python's client is told. */
export interface PythonNfs {
  readonly port: number;
  readonly path: readonly string[];
  /** The address of this machine that it comes from. @default 127.0.0.1 */
  readonly from?: string;
  /** PEM; none: no TLS. */
  readonly tls?: {
    readonly ca: string;
    readonly client?: TestCertificate;
    readonly protocols?: readonly string[];
  };
}

/** What it found. */
export interface PythonNfsResult {
  readonly probe?: string;
  readonly protocol?: string;
  readonly alpn?: string;
  /** The handle of the root. */
  readonly mount?: string;
  readonly size?: number;
  readonly sha256?: string;
  /** Where it was refused, and how. */
  readonly refused?: string;
}

/** Reads a file with a client of NFS in Python that has nothing of ours: its own bytes of RPC, its own TLS. */
export async function readWithPython(directory: string, asked: PythonNfs): Promise<PythonNfsResult> {
  const { port, path, from, tls } = asked;
  const file = (name: string, text: string): string => {
    const written = join(directory, name);
    writeFileSync(written, text);
    return written;
  };
  const options = tls && {
    ca: file('ca.pem', tls.ca),
    ...(tls.protocols === undefined ? {} : { protocols: tls.protocols }),
    ...(tls.client === undefined
      ? {}
      : { certificate: file('client.pem', tls.client.certificate), key: file('client.key', tls.client.key) }),
  };
  const running = start('python3', [join(ROOT, 'test/python/nfs_over_tls.py')], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.child.stdin?.end(JSON.stringify({ port, path, from, tls: options ?? null }));
  const ended = await running.ended;
  if (ended.code !== 0) throw new Error(`python3: ${ended.stderr}`);
  return JSON.parse(ended.stdout) as PythonNfsResult;
}
