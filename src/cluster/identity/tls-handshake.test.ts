import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type ConnectionOptions, type TlsOptions } from 'node:tls';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { suiteDirectory } from '../../../test/support/directories.js';
import { NODE_NAME, STORE_NAME, type Grant, type Role } from '../../core/access.js';
import { grantOfCertificate } from './certificate-grant.js';
import { createCertificateRequest } from './certificate-request.js';
import { openIdentity, type ClusterIdentity } from './cluster-identity.js';

const DIRECTORY = suiteDirectory();
const HOUR_MS = 60 * 60 * 1000;
const MINUTE_MS = 60 * 1000;

const ours = await openIdentity(join(DIRECTORY, 'ours'));
const theirs = await openIdentity(join(DIRECTORY, 'theirs'));
const { ca } = ours;

interface Shown {
  readonly key: string;
  readonly cert: string;
}

async function shown(identity: ClusterIdentity, role: Role): Promise<Shown> {
  const { key, request } = await createCertificateRequest();
  const { certificate } = await identity.issue(request, grant(role));
  return { key, cert: certificate };
}

async function store(identity: ClusterIdentity, ...names: string[]): Promise<Shown> {
  const { key, certificate } = await identity.serverTls(names);
  return { key, cert: certificate };
}

function grant(role: Role): Grant {
  return { tokenId: '0123456789ab', name: "the lab's", role, models: 'acme/*' };
}

interface Outcome {
  readonly grant?: Grant | undefined;
  /** Why the server would have refused, if it had been told to. */
  readonly reason?: unknown;
  readonly server?: string | undefined;
  readonly client?: string | undefined;
}

/**
 * How a connection over loopback ends: with the grant that the server sees, or with why each side refused. The server speaks only
 * after its handshake, because with TLS 1.3 a client that is refused learns it later.
 */
async function handshake(serverOptions: TlsOptions, clientOptions: ConnectionOptions): Promise<Outcome> {
  let seen: Grant | undefined;
  let refused: string | undefined;
  let reason: unknown;
  const server = createServer(serverOptions, (socket) => {
    const certificate = socket.getPeerX509Certificate();
    if (certificate !== undefined) seen = grantOfCertificate(certificate.raw);
    reason = socket.authorizationError;
    socket.on('error', () => undefined);
    socket.end('welcome');
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException) => (refused = error.code ?? error.message));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = connect({ host: '127.0.0.1', port, ...clientOptions });
  let text = '';
  let problem: string | undefined;
  socket.on('data', (data: Buffer) => (text += data.toString()));
  socket.on('error', (error: NodeJS.ErrnoException) => (problem = error.code ?? error.message));
  await new Promise((resolve) => socket.on('close', resolve));
  server.close();
  await once(server, 'close');
  if (text === 'welcome') return reason ? { grant: seen, reason } : { grant: seen };
  return { server: refused, client: problem };
}

const ANOTHER_CLUSTER = /^(?:SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/;
const MUTUAL = { ca, requestCert: true, rejectUnauthorized: true } as const;

describe('a client that knows the cluster', () => {
  it('knows a store by its name, under any address', async () => {
    const server = await store(ours);
    expect(await handshake(server, { ca, servername: STORE_NAME })).toEqual({ grant: undefined });
  });

  it('knows a store by its address too, as other programs do', async () => {
    expect(await handshake(await store(ours, '127.0.0.1'), { ca })).toEqual({ grant: undefined });
    expect(await handshake(await store(ours, '127.0.0.2'), { ca })).toMatchObject({
      client: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('refuses a store of another cluster', async () => {
    const answer = await handshake(await store(theirs), { ca, servername: STORE_NAME });
    expect(answer.client).toMatch(ANOTHER_CLUSTER);
  });

  it.each(['node', 'admin'] as const)('refuses one of role %s that says it is a store', async (role) => {
    expect(await handshake(await shown(ours, role), { ca, servername: STORE_NAME })).toMatchObject({
      client: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });

  it('refuses a reader that says it is a node', async () => {
    const answer = await handshake(await shown(ours, 'read'), { ca, servername: NODE_NAME });
    expect(answer.client).toBe('INVALID_PURPOSE');
  });

  it('refuses a store that says it is a node', async () => {
    expect(await handshake(await store(ours), { ca, servername: NODE_NAME })).toMatchObject({
      client: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
  });
});

describe('a node that asks for certificates', () => {
  const client = { ca, servername: NODE_NAME } as const;

  it.each(['read', 'node', 'admin'] as const)('lets in one of role %s, and knows its grant', async (role) => {
    const server = { ...(await shown(ours, 'node')), ...MUTUAL };
    expect(await handshake(server, { ...client, ...(await shown(ours, role)) })).toEqual({
      grant: grant(role),
    });
  });

  /** Why a client is refused. Node's server tells the reason only if it is told to let the client in nevertheless. */
  async function refusal(shows: Partial<Shown>): Promise<unknown> {
    const server = { ...(await shown(ours, 'node')), ...MUTUAL };
    const refused = await handshake(server, { ...client, ...shows });
    expect(refused).not.toHaveProperty('grant');
    expect(refused.server).toBe('ECONNRESET');
    return (await handshake({ ...server, rejectUnauthorized: false }, { ...client, ...shows })).reason;
  }

  it('lets in nobody without one', async () => {
    const server = { ...(await shown(ours, 'node')), ...MUTUAL };
    expect(await handshake(server, client)).toMatchObject({
      server: 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE',
    });
  });

  it('lets in nobody of another cluster', async () => {
    expect(await refusal(await shown(theirs, 'admin'))).toMatch(ANOTHER_CLUSTER);
  });

  it('lets in no store: its certificate is not that of a client', async () => {
    expect(await refusal(await store(ours))).toBe('INVALID_PURPOSE');
  });

  it.each([
    [-2 * HOUR_MS, 'CERT_HAS_EXPIRED'],
    [HOUR_MS, 'CERT_NOT_YET_VALID'],
  ])('lets in nobody whose certificate was issued %d ms from now', async (ms, code) => {
    const then = await openIdentity(join(DIRECTORY, 'ours'), { now: () => Date.now() + ms });
    expect(await refusal(await shown(then, 'admin'))).toBe(code);
  });

  it('minds no clock of the store that is four minutes ahead', async () => {
    const ahead = await openIdentity(join(DIRECTORY, 'ours'), { now: () => Date.now() + 4 * MINUTE_MS });
    const server = { ...(await shown(ahead, 'node')), ...MUTUAL };
    const answer = await handshake(server, { ...client, ...(await shown(ahead, 'read')) });
    expect(answer).toEqual({ grant: grant('read') });
  });
});
