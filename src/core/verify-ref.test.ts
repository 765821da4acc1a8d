import { describe, expect, it } from 'vitest';
import { certificateFingerprint } from './fingerprint.js';
import type { RefStatement } from './ref-statement.js';
import { verifyRef } from './verify-ref.js';

// Made by OpenSSL 3.0.19: ecparam -genkey, req -x509, and dgst -sha256 -sign of the six lines of the statement.
const CA = `-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUYegRGwOpeb2cBnmi3FmFQUTvaVQwCgYIKoZIzj0EAwIw
IjEgMB4GA1UEAwwXQ2FseXggY2x1c3RlciBvZiBhIHRlc3QwIBcNMjYxMTI0MDEx
OTUyWhgPMjEyNjEwMzEwMTE5NTJaMCIxIDAeBgNVBAMMF0NhbHl4IGNsdXN0ZXIg
b2YgYSB0ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUBXuMno1jhbVYAU3
5Qn7I0FTU7bP+ed0Uf9j8IezOcy119iay9tvCzUGICMHcZ9IYovZ650B2+obM/pj
V1l4LqNTMFEwHQYDVR0OBBYEFJHqbMwaEZF3jTPh+fvCXiPkdC0cMB8GA1UdIwQY
MBaAFJHqbMwaEZF3jTPh+fvCXiPkdC0cMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZI
zj0EAwIDRwAwRAIgcs/bww904FzOYNOnT9+20TdL0YfAkE6n49mNK8SCMZkCIC6f
xxvtAkdgW6Ob9iLv/D61Vbc32imONMfqLDeDNIa9
-----END CERTIFICATE-----
`;
const FINGERPRINT = 'OMfcaux5FfIyKSDVSn8_aq5pmOUj_44XnKR0Pqp6VF4';
const SIGNATURE =
  'MEYCIQCp43w27POlj4MfmL5KlqnFS7O_ExbBZyRDhLmCuJ8hUgIhAOh3jbnMTSA-k2bGgQDsMjWmuPCCcfRa15Snk_edeHcQ';
const STATEMENT: RefStatement = {
  model: 'acme/rose',
  ref: 'main',
  revision: 'a'.repeat(40),
  manifest: 'b'.repeat(64),
  generation: 7,
};

const ED25519_CA = `-----BEGIN CERTIFICATE-----
MIIBMDCB46ADAgECAhR59vTJB1DXObQkCQnKwlfmZSbgVzAFBgMrZXAwDTELMAkG
A1UEAwwCZWQwIBcNMjYxMTI0MDExOTUyWhgPMjEyNjEwMzEwMTE5NTJaMA0xCzAJ
BgNVBAMMAmVkMCowBQYDK2VwAyEAKEBifZqh0XIzXaiDTYLkI8Bm/TyS4IuRCbZg
7qpnUEWjUzBRMB0GA1UdDgQWBBQDLHIcgRRI/6iv2s4e1o6Qs06NYjAfBgNVHSME
GDAWgBQDLHIcgRRI/6iv2s4e1o6Qs06NYjAPBgNVHRMBAf8EBTADAQH/MAUGAytl
cANBALfAfVJEYzOWYGJnkGXV70k5FKeM5/uiX9HGcscovK5kbFtZHNs/TSqllv+r
c+Kta0Rah8oO+R8WiX61NHBtpQ8=
-----END CERTIFICATE-----
`;

describe('the signature of a ref', () => {
  it('is what openssl made of the same lines', () => {
    expect(verifyRef(STATEMENT, SIGNATURE, CA)).toBe(true);
  });

  it.each([
    { model: 'acme/Rose' },
    { ref: 'next' },
    { revision: 'c'.repeat(40) },
    { manifest: 'c'.repeat(64) },
    { generation: 8 },
    { ref: `main\n${'a'.repeat(40)}`, revision: '' },
  ])('is not that of another statement: %j', (change) => {
    expect(verifyRef({ ...STATEMENT, ...change }, SIGNATURE, CA)).toBe(false);
  });

  it.each([
    ['nothing', ''],
    ['zeros', 'A'.repeat(96)],
    ['r = s = 0', 'MAYCAQACAQA'],
    ['cut off', SIGNATURE.slice(0, -4)],
    ['with more after it', `${SIGNATURE}AAAA`],
    ['padded', `${SIGNATURE}==`],
    ['plain base64', SIGNATURE.replaceAll('_', '/').replaceAll('-', '+')],
    ['with a line break', `${SIGNATURE}\n`],
    ['far too long', SIGNATURE.repeat(10_000)],
  ])('is none: %s', (_, signature) => {
    expect(verifyRef(STATEMENT, signature, CA)).toBe(false);
  });

  it('is none under a key of another kind', () => {
    expect(verifyRef(STATEMENT, SIGNATURE, ED25519_CA)).toBe(false);
  });
});

describe('the fingerprint of a certificate', () => {
  it('is the SHA-256 that openssl computes, of PEM and of DER', () => {
    const der = Buffer.from(CA.replaceAll(/-----[^-]+-----/g, ''), 'base64');
    expect(certificateFingerprint(CA)).toBe(FINGERPRINT);
    expect(certificateFingerprint(der)).toBe(FINGERPRINT);
    expect(certificateFingerprint(CA + ED25519_CA)).toBe(FINGERPRINT);
  });
});
