import { certificateEnd } from '../../../cluster/tokens/certificates.js';
import type { RpcPeer } from '../../../protocols/rpc/rpc-program.js';

/** Knows when the certificates of clients are over, each read once. TLS itself looks at that only when a connection begins. */
export class CertificateEnds {
  readonly #ends = new WeakMap<RpcPeer, number>();

  /**
   * True for who has shown a certificate that is over by now.
   *
   * @param now milliseconds since 1970
   */
  isOver(peer: RpcPeer, now: number): boolean {
    if (peer.certificate === undefined) return false;
    let end = this.#ends.get(peer);
    if (end === undefined) {
      end = certificateEnd(peer.certificate);
      this.#ends.set(peer, end);
    }
    return now >= end;
  }
}
