import { array, decodeWhole, encodeWhole, opaque, struct, uint32 } from '../xdr/codec.js';
import { XdrError } from '../xdr/xdr-error.js';
import type { CallHeader } from './call-header.js';
import { AuthStatus, Flavor } from './rpc-protocol.js';
import type { RpcCredential } from './rpc-program.js';

/** RFC 5531, appendix A. */
const MAX_MACHINE_BYTES = 255;
const MAX_GROUPS = 16;

const authSys = struct({
  stamp: uint32,
  machine: opaque(MAX_MACHINE_BYTES),
  uid: uint32,
  gid: uint32,
  gids: array(uint32, MAX_GROUPS),
});

const NONE: RpcCredential = { flavor: 'none' };
const EMPTY = Buffer.alloc(0);

/** Reads the credentials of one connection's calls. Those of a client are mostly the same, so the last one is kept. */
export class CredentialReader {
  #lastBody = EMPTY;
  #last: RpcCredential = NONE;

  /** The caller's credential, or why it is turned away. */
  read(header: CallHeader): RpcCredential | AuthStatus {
    const { flavor, credential } = header;
    if (flavor !== Flavor.NONE && flavor !== Flavor.SYS) return refusal(flavor);
    // RFC 5531, section 8.1: both flavors go with a verifier of flavor AUTH_NONE and no bytes.
    if (header.verifierFlavor !== Flavor.NONE || header.verifierBytes > 0) return AuthStatus.BADVERF;
    if (flavor === Flavor.NONE) return NONE;
    if (this.#lastBody.byteLength > 0 && this.#lastBody.equals(credential)) return this.#last;
    try {
      const { machine, uid, gid, gids } = decodeWhole(authSys, credential);
      // Not every machine is named in UTF-8, and the name is for messages alone.
      this.#last = { flavor: 'sys', machine: Buffer.from(machine).toString(), uid, gid, gids };
      this.#lastBody = Buffer.from(credential);
      return this.#last;
    } catch (error) {
      if (error instanceof XdrError) return AuthStatus.BADCRED;
      throw error;
    }
  }
}

/** The flavor and the body of a credential. */
export function writeCredential(credential: RpcCredential): { flavor: number; credential: Uint8Array } {
  if (credential.flavor === 'none') return { flavor: Flavor.NONE, credential: EMPTY };
  const { machine, uid, gid, gids } = credential;
  const body = encodeWhole(authSys, { stamp: 0, machine: Buffer.from(machine), uid, gid, gids });
  return { flavor: Flavor.SYS, credential: body };
}

function refusal(flavor: number): AuthStatus {
  // Linux takes 'too weak' as a final EACCES, and then goes from Kerberos to AUTH_SYS; it would repeat a bad or rejected one.
  if (flavor === Flavor.GSS) return AuthStatus.TOOWEAK;
  // We never gave out a shorthand; the caller must begin anew with what it stood for.
  return flavor === Flavor.SHORT ? AuthStatus.REJECTEDCRED : AuthStatus.BADCRED;
}
