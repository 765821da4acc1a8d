import { X509Certificate } from 'node:crypto';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { testDirectory } from '../../../../test/support/directories.js';
import { expectError } from '../../../../test/support/expect-error.js';
import { credentialOf, serveSecurely, testCluster } from '../../../../test/support/secure-server.js';
import { StoreLayout } from '../../../catalog/store-layout.js';
import { StoreClient } from '../../../protocols/http/store-client.js';
import { openReplicaCertificate } from './replica-certificate.js';
import { readReplica } from './replica-file.js';

/** A writer that issues certificates for so long, as long as it is not away; and what a replica asks it with. */
async function writer(lifetimeMs: number) {
  const cluster = await testCluster();
  const state = { away: false, issued: 0 };
  const url = await serveSecurely(cluster, (request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (piece: string) => (text += piece));
    request.on('end', () => {
      const { request: wanted, names } = JSON.parse(text) as { request: string; names: string[] };
      state.issued += 1;
      if (state.away) response.writeHead(503).end('{"error":{"code":"unavailable","message":"away"}}');
      else
        void cluster
          .issueStore(wanted, names, lifetimeMs)
          .then((issued) => response.writeHead(200).end(JSON.stringify(issued)));
    });
  });
  const stores = new StoreClient({ urls: [url], credential: credentialOf(cluster) });
  onTestFinished(() => stores.close());
  const layout = new StoreLayout(join(testDirectory(), 'data'));
  const open = async () => {
    const certificate = await openReplicaCertificate({
      layout,
      stores,
      ca: cluster.ca,
      names: ['replica.example', '10.0.0.2'],
      kept: await readReplica(layout),
      logger: pino({ level: 'silent' }),
      signal: new AbortController().signal,
    });
    onTestFinished(() => certificate.close());
    return certificate;
  };
  return { state, layout, open };
}

describe('the certificate of a replica', () => {
  it('is that of a store under its names, and another one after a third of its life, on the disk too', async () => {
    const { layout, open } = await writer(12_000);
    const from = performance.now();
    const certificate = await open();
    const first = certificate.current;
    const shown = new X509Certificate(first.tls.certificate);
    for (const name of ['store.calyx.internal', 'replica.example']) expect(shown.checkHost(name)).toBe(name);
    expect(shown.checkIP('10.0.0.2')).toBe('10.0.0.2');
    expect((await readReplica(layout))?.key).toBe(first.tls.key);
    const renewed = await new Promise<typeof first>((resolve) => certificate.onRenewed(resolve));
    expect(performance.now() - from).toBeLessThan(6_500);
    expect(renewed.tls.key).not.toBe(first.tls.key);
    expect(await readReplica(layout)).toMatchObject({
      key: renewed.tls.key,
      certificate: renewed.tls.certificate,
    });
  }, 20_000);

  it('is the one of before while the writer is away, but not when that is over', async () => {
    const { state, open } = await writer(6_000);
    const before = await open();
    await before.close();
    state.away = true;
    const again = await open();
    expect(again.current).toEqual(before.current);
    expect(state.issued).toBe(2);
    await expectError(
      async () => {
        throw await again.over;
      },
      'unavailable',
      'could not be renewed',
    );
  }, 20_000);
});
