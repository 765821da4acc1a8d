import type { Codec } from '../xdr/codec.js';
import { XdrError } from '../xdr/xdr-error.js';
import { NFS3, type Nfs3Failure } from './status.js';

/** A status and what follows it: one body after NFS3_OK, another after all the rest (as all results of RFC 1813 are made). */
export type Result3<Ok, Failed> =
  | { readonly status: typeof NFS3.OK; readonly value: Ok }
  | { readonly status: Nfs3Failure; readonly value: Failed };

const FAILURES: ReadonlySet<number> = new Set(Object.values(NFS3).filter((status) => status !== NFS3.OK));

/** The codec of a result. */
export function resultOf<Ok, Failed>(ok: Codec<Ok>, failed: Codec<Failed>): Codec<Result3<Ok, Failed>> {
  return {
    encode: (writer, result) => {
      writer.uint32(result.status);
      if (result.status === NFS3.OK) ok.encode(writer, result.value);
      else failed.encode(writer, result.value);
    },
    decode: (reader) => {
      const status = reader.uint32();
      if (status === NFS3.OK) return { status, value: ok.decode(reader) };
      if (!isFailure(status)) throw new XdrError(`${status} is no status of NFS version 3`);
      return { status, value: failed.decode(reader) };
    },
  };
}

function isFailure(status: number): status is Nfs3Failure {
  return FAILURES.has(status);
}
