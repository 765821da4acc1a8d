import { X509Certificate } from 'node:crypto';
import type { Validity } from '../checks/clock.js';

/** When a certificate (PEM) counts. */
export function certificateValidity(of: string, pem: string): Validity {
  const { validFrom, validTo } = new X509Certificate(pem);
  return { of, notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) };
}
