import type { Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { STORE_NAME } from '../../core/access.js';
import { abortReason } from '../../core/clock.js';
import { CalyxError, errorMessage, isCalyxError } from '../../core/errors.js';
import { XdrError } from '../xdr/xdr-error.js';
import { XdrReader } from '../xdr/xdr-reader.js';
import { writeCallHeader } from './call-header.js';
import { RecordReader } from './record-reader.js';
import { MessageWriter } from './reply-header.js';
import {
  Flavor,
  MAX_AUTH_BYTES,
  MessageType,
  NULL_PROCEDURE,
  ReplyStatus,
  STARTTLS,
  TLS_PROTOCOL,
} from './rpc-protocol.js';

/** How a client protects its connection. */
export interface ClientTls {
  /** A program of the server, whose NULL is the probe. */
  readonly program: number;
  readonly version: number;
  /** PEM: the only anchor. Without it the connection is encrypted, but nobody knows to whom: for what is no secret. */
  readonly ca?: string | undefined;
  /** PEM, both or none. */
  readonly key?: string | undefined;
  readonly certificate?: string | undefined;
}

const XID = 1;
/** An accepted reply with the longest verifier, and room to spare. */
const MAX_REPLY_BYTES = 1024;

/**
 * Asks a server for TLS and begins it (RFC 9289, sections 4.1 and 5). The socket is destroyed if that fails.
 *
 * @param server names it in errors
 * @throws CalyxError `unsupported` if the server does not offer TLS; `unauthenticated` if it is not the one that `ca` knows; `unavailable` or
 * `corrupt` if it does something else; or the signal's reason
 */
export async function startTls(
  socket: Socket,
  server: string,
  tls: ClientTls,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const abort = (): void => void socket.destroy(abortReason(signal));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    await askForTls(socket, server, tls);
    return await handshake(socket, server, tls);
  } catch (error) {
    socket.destroy();
    if (signal.aborted) throw abortReason(signal);
    throw error;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function askForTls(socket: Socket, server: string, { program, version }: ClientTls): Promise<void> {
  const writer = new MessageWriter();
  const credential = new Uint8Array();
  writeCallHeader(writer, {
    xid: XID,
    program,
    version,
    procedure: NULL_PROCEDURE,
    flavor: Flavor.TLS,
    credential,
  });
  const written = writer.finishRecord();
  socket.write(Buffer.concat(written.buffers));
  written.release();
  const reply = await onlyRecord(socket, server);
  if (!saysStartTls(reply))
    throw new CalyxError('unsupported', `${server} does not offer RPC-with-TLS (RFC 9289)`);
}

/** The first record; nothing may come behind it, which could be taken for something that TLS protected. */
function onlyRecord(socket: Socket, server: string): Promise<Uint8Array> {
  const records = new RecordReader(MAX_REPLY_BYTES);
  return new Promise((resolve, reject) => {
    const settle = (): void => {
      socket.off('data', onData).off('close', onClose).pause();
    };
    const onClose = (): void => {
      settle();
      reject(new CalyxError('unavailable', `${server} closed the connection when it was asked for TLS`));
    };
    const onData = (chunk: Buffer): void => {
      try {
        records.push(chunk);
        const record = records.next();
        if (record === undefined) return;
        settle();
        if (records.drained) resolve(record);
        else
          reject(new CalyxError('corrupt', `${server} sent more than the answer when it was asked for TLS`));
      } catch (error) {
        settle();
        reject(new CalyxError('corrupt', `${server} sent what is no RPC message: ${errorMessage(error)}`));
      }
    };
    socket.on('data', onData).on('close', onClose);
  });
}

function saysStartTls(reply: Uint8Array): boolean {
  const expected = [XID, MessageType.REPLY, ReplyStatus.ACCEPTED, Flavor.NONE];
  try {
    const reader = new XdrReader(reply);
    return (
      expected.every((word) => reader.uint32() === word) && STARTTLS.equals(reader.opaque(MAX_AUTH_BYTES))
    );
  } catch (error) {
    if (error instanceof XdrError) return false;
    throw error;
  }
}

async function handshake(socket: Socket, server: string, tls: ClientTls): Promise<TLSSocket> {
  const { ca, key, certificate } = tls;
  try {
    return await new Promise<TLSSocket>((resolve, reject) => {
      const secured = connectTls({
        socket,
        servername: STORE_NAME,
        minVersion: 'TLSv1.3',
        ALPNProtocols: [TLS_PROTOCOL],
        rejectUnauthorized: ca !== undefined,
        ...(ca === undefined ? {} : { ca }),
        ...(key === undefined || certificate === undefined ? {} : { key, cert: certificate }),
      });
      secured.once('error', reject);
      secured.once('close', () => reject(new Error('it closed the connection')));
      secured.once('secureConnect', () => {
        secured.off('error', reject);
        resolve(secured);
      });
    });
  } catch (error) {
    if (isCalyxError(error)) throw error;
    throw new CalyxError(
      'unauthenticated',
      `the TLS handshake with ${server} failed: ${errorMessage(error)}`,
      {
        hint: 'its certificate may be that of another cluster, or it may want one of this machine',
        cause: error,
      },
    );
  }
}
