import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { ClusterCredential } from '../../src/core/access.js';
import { formatToken } from '../../src/core/cluster-token.js';
import { createCertificateRequest } from '../../src/cluster/identity/certificate-request.js';
import { openIdentity, type ClusterIdentity } from '../../src/cluster/identity/cluster-identity.js';
import { testDirectory } from './directories.js';

/** The identity of a cluster of its own, for the time of a test. */
export function testCluster(now?: () => number): Promise<ClusterIdentity> {
  return openIdentity(join(testDirectory(), 'cluster'), now === undefined ? {} : { now });
}

/** A token of a cluster, which no server knows. */
export function tokenOf({ fingerprint }: ClusterIdentity): string {
  return formatToken({ id: '0123456789ab', secret: 's'.repeat(43), fingerprint });
}

/** What a client of a cluster has. */
export function credentialOf(cluster: ClusterIdentity): ClusterCredential {
  return { ca: cluster.ca, token: tokenOf(cluster) };
}

/** An HTTPS server of a cluster on loopback for the time of a test: its writer. */
export async function serveSecurely(cluster: ClusterIdentity, answer: RequestListener): Promise<URL> {
  return serve(await cluster.serverTls(['127.0.0.1']), answer);
}

/** The same as another of its stores. */
export async function serveAsReplica(cluster: ClusterIdentity, answer: RequestListener): Promise<URL> {
  const { key, request } = await createCertificateRequest();
  const { certificate } = await cluster.issueStore(request, ['127.0.0.1'], 3_600_000);
  return serve({ key, certificate }, answer);
}

async function serve(
  { key, certificate }: { readonly key: string; readonly certificate: string },
  answer: RequestListener,
): Promise<URL> {
  const server = createServer({ key, cert: certificate, minVersion: 'TLSv1.3' }, answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}`);
}
