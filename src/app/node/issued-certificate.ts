import { createPrivateKey, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import { createCertificateRequest } from '../../cluster/identity/certificate-request.js';
import { grantOfCertificate } from '../../cluster/identity/certificate-grant.js';
import { STORE_NAME, type Grant } from '../../core/access.js';
import { CalyxError } from '../../core/errors.js';
import type { StoreClient } from '../../protocols/http/store-client.js';
import type { Renewable } from './certificate-renewal.js';

/** A key, and what a store has certified of its holder. */
export interface IssuedCertificate extends Renewable {
  readonly grant: Grant;
}

const answerSchema = z.object({ certificate: z.string().max(64 * 1024) });

/** Options of {@link requestCertificate}. */
export interface CertificateRequestOptions {
  /** PEM, ECDSA P-256. @default a new one, only in memory */
  readonly key?: string;
  /** How long the certificate is to be good, from a minute to a day; never longer than the token. @default an hour */
  readonly lifetimeMs?: number;
}

/**
 * Has a store certify a key, which never leaves this machine.
 *
 * @param ca the certificate of the cluster
 * @throws CalyxError `unauthenticated` for a token that is not good any more, `unavailable` if no store answers as it should, or if the
 * clocks differ too much
 */
export async function requestCertificate(
  stores: StoreClient,
  ca: string,
  signal: AbortSignal,
  options: CertificateRequestOptions = {},
): Promise<IssuedCertificate> {
  const { key, lifetimeMs } = options;
  const wanted = lifetimeMs === undefined ? {} : { lifetimeSeconds: Math.floor(lifetimeMs / 1000) };
  const issued = await issuedFor(stores, ca, wanted, signal, key);
  const grant = grantOfCertificate(issued.own.raw);
  if (grant === undefined) throw ofNoUse(issued.store);
  return { tls: issued.tls, expiresAt: issued.expiresAt, grant };
}

/**
 * Makes a key, which never leaves this machine, and has the store with the key of the cluster certify that its holder is a store, too.
 *
 * @param names under which it is reached, at most 64 (see certificateName)
 * @throws CalyxError `refused` if the token is not one of role admin for all models; as {@link requestCertificate} does
 */
export async function requestStoreCertificate(
  stores: StoreClient,
  ca: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<Renewable> {
  const { own, tls, expiresAt, store } = await issuedFor(stores, ca, { names }, signal);
  if (own.checkHost(STORE_NAME) === undefined) throw ofNoUse(store);
  return { tls, expiresAt };
}

interface Issued extends Renewable {
  readonly own: X509Certificate;
  readonly store: string;
}

async function issuedFor(
  stores: StoreClient,
  ca: string,
  wanted: object,
  signal: AbortSignal,
  ownKey?: string,
): Promise<Issued> {
  const { key, request } = await createCertificateRequest(ownKey);
  return stores.first(async (store) => {
    const body = { request, ...wanted };
    const answer = await store.json('/v1/certificates', { method: 'POST', body, signal });
    const parsed = answerSchema.safeParse(answer);
    if (parsed.success) return checked(parsed.data.certificate, key, ca, store.url);
    throw new CalyxError('unavailable', `${store.url} does not issue certificates as a Calyx store does`, {
      hint: 'check the address; the store may run another version',
      cause: parsed.error,
    });
  }, signal);
}

/** What others would refuse is better told here, with its reason. */
function checked(certificate: string, key: string, ca: string, store: string): Issued {
  const own = readCertificate(certificate, store);
  const authority = new X509Certificate(ca);
  if (!own.checkPrivateKey(createPrivateKey(key)) || !own.verify(authority.publicKey)) throw ofNoUse(store);
  const [begins, expiresAt, now] = [Date.parse(own.validFrom), Date.parse(own.validTo), Date.now()];
  if (begins <= now && now < expiresAt) return { tls: { key, certificate, ca }, expiresAt, own, store };
  throw new CalyxError(
    'unavailable',
    `${store} issued a certificate that ${now < begins ? 'has not begun' : 'is over'}: the clocks differ`,
    { hint: 'set the clocks of this machine and of the store (timedatectl)' },
  );
}

function ofNoUse(store: string): CalyxError {
  return new CalyxError('unavailable', `${store} issued a certificate that is of no use`, {
    hint: 'the store may run another version',
  });
}

function readCertificate(pem: string, store: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new CalyxError('unavailable', `${store} issued a certificate that cannot be read`, {
      cause: error,
    });
  }
}
