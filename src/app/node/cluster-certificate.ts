import type { Grant, TlsSettings } from '../../core/access.js';
import type { CalyxError } from '../../core/errors.js';
import { StoreClient } from '../../protocols/http/store-client.js';
import { CertificateRenewal, type CertificateRenewalOptions } from './certificate-renewal.js';
import { requestCertificate, type IssuedCertificate } from './issued-certificate.js';
import type { SecuredAccess } from './secured-access.js';

/** Options of {@link ClusterCertificate.obtain}. */
export type ClusterCertificateOptions = CertificateRenewalOptions;

const RENEWED_AT = { from: 0.6, to: 0.7 };

/**
 * A key and a certificate of the cluster, only in memory: what shows other machines who this process is. It lives as long as its
 * store says (an hour), and is renewed in the background when two thirds of that are over.
 */
export class ClusterCertificate {
  readonly #stores: StoreClient;
  readonly #renewal: CertificateRenewal<IssuedCertificate>;

  private constructor(stores: StoreClient, renewal: CertificateRenewal<IssuedCertificate>) {
    this.#stores = stores;
    this.#renewal = renewal;
  }

  /**
   * Gets a certificate from one of the stores. Only the cluster of the credential is trusted.
   *
   * @throws CalyxError `unauthenticated` for a token that is not good, `unavailable` if no store answers as it should
   */
  static async obtain(
    access: SecuredAccess,
    signal: AbortSignal,
    options: ClusterCertificateOptions = {},
  ): Promise<ClusterCertificate> {
    const stores = new StoreClient(access);
    const { ca } = access.credential;
    try {
      const first = await requestCertificate(stores, ca, signal);
      const renew = (until: AbortSignal): Promise<IssuedCertificate> => requestCertificate(stores, ca, until);
      return new ClusterCertificate(stores, new CertificateRenewal(first, renew, RENEWED_AT, options));
    } catch (error) {
      await stores.close();
      throw error;
    }
  }

  /** Resolves with the reason when the certificate is over and there is no other; never otherwise. */
  get over(): Promise<CalyxError> {
    return this.#renewal.over;
  }

  /** What TLS needs now. */
  get tls(): TlsSettings {
    return this.#renewal.current.tls;
  }

  /** Who this process is to others. */
  get grant(): Grant {
    return this.#renewal.current.grant;
  }

  /** Calls `listener` with each certificate that takes the place of the one before. Returns what ends that. */
  onRenewed(listener: (tls: TlsSettings) => void): () => void {
    return this.#renewal.onRenewed(({ tls }) => listener(tls));
  }

  /** Ends the renewals. */
  async close(): Promise<void> {
    await this.#renewal.close();
    await this.#stores.close();
  }
}
