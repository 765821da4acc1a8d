import { describe, expect, it } from 'vitest';
import { verifyRef } from './verify-ref.js';
import { verifyStatement } from './signed-statement.js';

// Made by OpenSSL 3.0.19: ecparam -genkey, req -x509, and dgst -sha256 -sign of the line 'calyx tokens 1' (or 'calyx denied 1'), which
// ends with 0x0A, and the statement, which does not; and of the six lines of a ref.
const CA = `-----BEGIN CERTIFICATE-----
MIIBmzCCAUGgAwIBAgIUAd0NTGLBy1Flz2/7rkzshdfG9cowCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXQ2FseXggY2x1c3RlciBvZiBhIHRlc3QwIBcNMjYxMTI0MDM1
NTA0WhgPMjEyNjEwMzEwMzU1MDRaMCIxIDAeBgNVBAMMF0NhbHl4IGNsdXN0ZXIg
b2YgYSB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEsLtAdRMi3b+cnZFb
qe+NppTMWaGq7XCD22ZLF5XJjQX037QA22TNfZxIKcVNNpKOS61V1aVnlHk41bJb
B+RvGqNTMFEwHQYDVR0OBBYEFGhJd9ExCCVwv5eZgU4e+vKXov0FMB8GA1UdIwQY
MBaAFGhJd9ExCCVwv5eZgU4e+vKXov0FMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI
zj0EAwIDSAAwRQIhALKnQLcFqwnN+oAHVP7Vdj2bvZPZHIifdfW+9zRNwpB/AiBn
MjFd9RwlF4PzmEGC/fT7uTjRUTkueKVUHvWxi8uocQ==
-----END CERTIFICATE-----
`;
const TOKENS = {
  statement: '{"version":7,"tokens":[]}',
  signature:
    'MEYCIQCSEbYeCdiumDEWZWKt8NWMAOSS0UDZVWHHnxwsQfMvzwIhAJ_iY3AIw9sp6EztiuKA0mjdnxSdZtKAJbWsw8x5nDyL',
};
const DENIED = {
  statement: '{"version":7,"denied":["0123456789ab"]}',
  signature:
    'MEYCIQDydhl1DDVGi0akh6Ouowx75vKejjfgplMrUDd69EZDGgIhAKE-cCpgz-D4MlAm61gmCLe1QYQqGh6NmQGmABN-X5rn',
};
const REF = {
  statement: `acme/rose\nmain\n${'a'.repeat(40)}\n${'b'.repeat(64)}\n7\n`,
  signature:
    'MEUCIBY3a8YL64fn6_u3unoBwM8u1PnYnTkvL8Z2RZ6lTp6BAiEAj3yyF5V-RzfuKCK1PhUzIEJy18nJUi4gm4Ra2CXx1AE',
};

describe('what a cluster says of its tokens', () => {
  it('is signed as openssl signs the same bytes', () => {
    expect(verifyStatement('tokens', TOKENS, CA)).toBe(true);
    expect(verifyStatement('denied', DENIED, CA)).toBe(true);
  });

  it('is nothing else, and nothing else is that', () => {
    expect(verifyStatement('denied', TOKENS, CA)).toBe(false);
    expect(verifyStatement('tokens', DENIED, CA)).toBe(false);
    const { signature } = REF;
    const ref = { model: 'acme/rose', ref: 'main', revision: 'a'.repeat(40), manifest: 'b'.repeat(64), generation: 7 };
    expect(verifyRef(ref, signature, CA)).toBe(true);
    for (const kind of ['tokens', 'denied'] as const) {
      expect(verifyStatement(kind, REF, CA)).toBe(false);
      expect(verifyStatement(kind, { signature, statement: `calyx ref 1\n${REF.statement}` }, CA)).toBe(false);
    }
  }); // prettier-ignore

  it.each([
    { statement: '{"version":8,"tokens":[]}' },
    { statement: '{"version":7,"tokens":[]}\n' },
    { statement: ' {"version":7,"tokens":[]}' },
    { statement: '' },
    { signature: DENIED.signature },
    { signature: '' },
    { signature: `${TOKENS.signature}==` },
    { signature: 'MAYCAQACAQA' },
  ])('is not signed if it was changed: %j', (change) => {
    expect(verifyStatement('tokens', { ...TOKENS, ...change }, CA)).toBe(false);
  });
});
