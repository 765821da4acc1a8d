import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { AUDIT_ROTATION } from '../../src/cluster/audit/audit-log.js';
import {
  MAX_REFUSALS_APART,
  READ_WINDOW_MS,
  REFUSAL_WINDOW_MS,
} from '../../src/cluster/audit/coalesced-decisions.js';
import { DEFAULT_LIFETIME_MS } from '../../src/cluster/identity/cluster-identity.js';
import { NODE_PLACES } from '../../src/cluster/node-registry.js';
import { TOKEN_RATE } from '../../src/cluster/tokens/store-doorkeeper.js';
import { TOKEN_PLACES } from '../../src/cluster/tokens/token-places.js';
import {
  FIRST_WAIT_MS,
  FREE_ATTEMPTS,
  MAX_WAIT_MS,
  WINDOW_MS,
} from '../../src/cluster/tokens/wrong-attempts.js';
import { PATIENCE_MS } from '../../src/protocols/http/admission.js';
import {
  BODY_BYTES,
  HEADERS_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  MAX_CONNECTIONS,
  REQUEST_TIMEOUT_MS,
} from '../../src/protocols/http/create-server.js';
import { HANDSHAKE_PACE } from '../../src/protocols/http/handshake-pace.js';
import { STRANGER_PLACES } from '../../src/protocols/http/stranger-places.js';
import { HANDSHAKE_MS } from '../../src/protocols/http/tls-settings.js';
import { RPC_SERVER_LIMITS } from '../../src/protocols/rpc/server-options.js';

const page = readFileSync(new URL('../../../docs/security.md', import.meta.url), 'utf8');
const KIB = 1024;
const MIB = 1024 * KIB;

const seconds = (ms: number): string => `${ms / 1000} s`;
const count = (value: number): string => value.toLocaleString('en-US');

/** The second cell of a row of a table. */
function figure(limit: string): string {
  const row = page.split('\n').find((line) => line.startsWith(`| ${limit} |`));
  return row?.split(' | ')[1]?.replace(/ \|$/, '') ?? `no row '${limit}'`;
}

describe('the figures of docs/security.md', () => {
  it('are those of connections', () => {
    const { perAddress, inAll } = STRANGER_PLACES;
    expect(figure('connections that have shown no token')).toMatch(
      new RegExp(`^${inAll} in all, ${perAddress} per address `),
    );
    expect(figure('connections with a token')).toMatch(
      new RegExp(`^${count(MAX_CONNECTIONS)}; then one of the token that has most makes room `),
    );
  });

  it('are those of times and sizes', () => {
    expect(RPC_SERVER_LIMITS.handshakeTimeoutMs).toBe(HANDSHAKE_MS);
    expect(figure('TLS handshake')).toBe(`${seconds(HANDSHAKE_MS)}, over HTTPS and NFS`);
    expect(figure('header of a request; its body; idle between two')).toBe(
      [HEADERS_TIMEOUT_MS, REQUEST_TIMEOUT_MS, KEEP_ALIVE_MS].map(seconds).join('; '),
    );
    expect(figure('body of a request')).toBe(`${BODY_BYTES / KIB} KiB`);
  });

  it('are those of tokens', () => {
    expect(figure('wrong tokens')).toBe(
      `${FREE_ATTEMPTS} within ${seconds(WINDOW_MS)} per address (IPv6: per /64), then locked out for ` +
        `${seconds(FIRST_WAIT_MS)}, twice as long each time up to ${seconds(MAX_WAIT_MS)}; the 429 comes ${seconds(PATIENCE_MS)} late; right ones pass`,
    );
    const { perAddress, inAll } = HANDSHAKE_PACE;
    expect(figure('TLS handshakes over HTTPS, of other machines')).toBe(
      `${perAddress} a second per address (IPv6: per /64), ${inAll} in all; who is faster waits for its turn`,
    );
    const { requestsPerSecond, burst } = TOKEN_RATE;
    expect(figure('requests of one token')).toBe(
      `${count(requestsPerSecond)} a second, ${count(burst)} at once`,
    );
    const { maxTokens, maxTokensUnderOne } = TOKEN_PLACES;
    expect(figure('tokens')).toContain(`${count(maxTokens)}; ${count(maxTokensUnderOne)} that were made`);
    expect(page).toContain(`A store keeps ${count(maxTokens)} tokens`);
    const { maxNodes, maxNodesPerToken } = NODE_PLACES;
    expect(figure('nodes in the registry')).toContain(
      `${count(maxNodes)}; ${count(maxNodesPerToken)} of one`,
    );
    expect(page).toContain(`| ${DEFAULT_LIFETIME_MS / 3_600_000} h (`);
  });

  it('are those of NFS', () => {
    const { maxConnections, maxRecordBytes, recordTimeoutMs, idleTimeoutMs } = RPC_SERVER_LIMITS;
    expect(figure('NFS connections')).toBe(`${count(maxConnections)}; the one longest idle makes room`);
    expect(maxRecordBytes).toBe(MIB + 64 * KIB);
    expect(figure('NFS: record; its arrival; idle')).toBe(
      `1 MiB + 64 KiB; ${seconds(recordTimeoutMs)}; ${idleTimeoutMs / 60_000} min`,
    );
  });

  it('are those of the audit log', () => {
    const text = page.replace(/\s+/g, ' ');
    expect(text).toContain(`and reason within ${seconds(REFUSAL_WINDOW_MS)} are one line`);
    expect(text).toContain(`action and subject, within ${seconds(READ_WINDOW_MS)}.`);
    expect(text).toContain(`from more than ${count(MAX_REFUSALS_APART)} sources`);
    expect(AUDIT_ROTATION).toEqual({ maxBytes: 16 * MIB, kept: 4 });
    expect(text).toContain('At 16 MiB it is put aside as `audit.log.1`; four of these are kept');
  });
});
