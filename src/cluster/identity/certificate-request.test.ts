import { createPrivateKey, createPublicKey } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { testDirectory } from '../../../test/support/directories.js';
import { noOpenssl, openssl } from '../../../test/support/openssl.js';
import { createCertificateRequest } from './certificate-request.js';

describe('a request for a certificate', () => {
  it.skipIf(noOpenssl)('is one for the openssl command, and names nobody', async () => {
    const directory = testDirectory();
    // Often enough to meet signatures of all lengths.
    for (let round = 0; round < 8; round += 1) {
      const { key, request } = await createCertificateRequest();
      writeFileSync(join(directory, 'request.pem'), request);
      const { ok, text } = openssl(
        directory,
        'req',
        '-in',
        'request.pem',
        '-verify',
        '-noout',
        '-text',
        '-pubkey',
      );
      expect({ ok, text }).toMatchObject({ ok: true, text: expect.stringMatching(/verify OK/) as string });
      expect(text).toMatch(/Version: 1 \(0x0\)\s+Subject:\s*\n/);
      expect(text).toContain('Signature Algorithm: ecdsa-with-SHA256');
      const publicKey = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'pem' });
      expect(text).toContain(publicKey);
    }
  });

  it('needs nothing but Node, because it is on the way of every calyx run', () => {
    const code = readFileSync(new URL('./certificate-request.js', import.meta.url), 'utf8');
    const imported = [...code.matchAll(/(?:from |import\()'([^']+)'/g)].map(([, name]) => name);
    expect(imported).toEqual(['node:crypto', 'node:util']);
  });
});
