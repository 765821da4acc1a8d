import { CalyxError } from '../../core/errors.js';
import { XdrError } from '../xdr/xdr-error.js';
import type { XdrReader } from '../xdr/xdr-reader.js';
import type { XdrWriter } from '../xdr/xdr-writer.js';
import { COMPOUND, type RemoteOperation } from './nfs4-calls.js';
import { remoteError } from './remote-error.js';
import type { RpcCaller } from './rpc-caller.js';

/** An operation with its arguments. */
export interface BoundOperation<Result> {
  readonly number: number;
  encode(writer: XdrWriter): void;
  decode(reader: XdrReader): Result;
}

/** Gives an operation its arguments. */
export function bind<Args, Result>(
  { number, args, result }: RemoteOperation<Args, Result>,
  value: Args,
): BoundOperation<Result> {
  return {
    number,
    encode: (writer) => args.encode(writer, value),
    decode: (reader) => result.decode(reader),
  };
}

/** The results of operations, each at its place. */
export type Results<Operations extends readonly BoundOperation<unknown>[]> = {
  [Index in keyof Operations]: Operations[Index] extends BoundOperation<infer Result> ? Result : never;
};

const MAX_TAG = 1024;

/**
 * Calls a COMPOUND (RFC 8881, section 16.2) and returns the results of its operations.
 *
 * @throws CalyxError as the first status that is not OK says
 */
export async function callCompound<const Operations extends readonly BoundOperation<unknown>[]>(
  rpc: RpcCaller,
  minorVersion: number,
  operations: Operations,
  doing: string,
  signal: AbortSignal,
): Promise<Results<Operations>> {
  const reader = await rpc.call(
    COMPOUND,
    (writer) => {
      writer.opaque(new Uint8Array());
      writer.uint32(minorVersion);
      writer.uint32(operations.length);
      for (const operation of operations) {
        writer.uint32(operation.number);
        operation.encode(writer);
      }
    },
    signal,
  );
  try {
    return decodeResults(reader, operations, doing) as Results<Operations>;
  } catch (error) {
    if (!(error instanceof XdrError)) throw error;
    throw new CalyxError('unavailable', `${doing}: the answer is malformed (${error.message})`, {
      cause: error,
    });
  }
}

function decodeResults(
  reader: XdrReader,
  operations: readonly BoundOperation<unknown>[],
  doing: string,
): unknown[] {
  const status = reader.uint32();
  reader.opaque(MAX_TAG);
  const count = reader.uint32();
  if (count > operations.length) throw new XdrError(`${count} results of ${operations.length} operations`);
  const results: unknown[] = [];
  for (const operation of operations.slice(0, count)) {
    const number = reader.uint32();
    const own = reader.uint32();
    if (own !== 0) throw remoteError(own, doing);
    if (number !== operation.number) throw new XdrError(`a result of ${number}, not of ${operation.number}`);
    results.push(operation.decode(reader));
  }
  if (status !== 0) throw remoteError(status, doing);
  if (count < operations.length) throw new XdrError(`${count} results of ${operations.length} operations`);
  reader.end();
  return results;
}
