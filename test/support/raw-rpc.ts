import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** 32-bit words as XDR has them. */
export function words(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => bytes.writeUInt32BE(value >>> 0, 4 * index));
  return bytes;
}

/** A record of one fragment (RFC 5531, section 11). */
export function record(...pieces: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(pieces);
  return Buffer.concat([words(0x8000_0000 + body.byteLength), body]);
}

/** A call without credential. */
export function call(
  xid: number,
  { program, version, procedure }: { program: number; version: number; procedure: number },
  args: Uint8Array = Buffer.alloc(0),
): Buffer {
  return record(words(xid, 0, 2, program, version, procedure, 0, 0, 0, 0), args);
}

/** A connection that sends and shows bytes as they are. */
export class RawConnection {
  readonly socket: Socket;
  /** When the other side closed it, or it broke. */
  readonly closed: Promise<void>;
  #chunks: Buffer[] = [];
  #received = 0;
  #waiting: (() => void) | undefined;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#waiting?.());
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#received += chunk.byteLength;
      this.#waiting?.();
    });
  }

  static async open(port: number): Promise<RawConnection> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    await once(socket, 'connect');
    return new RawConnection(socket);
  }

  /** On a socket that is connected already. */
  static on(socket: Socket): RawConnection {
    return new RawConnection(socket);
  }

  send(...pieces: readonly Uint8Array[]): void {
    for (const piece of pieces) this.socket.write(piece);
  }

  /** The next `length` bytes; fails if the connection ends before. */
  async receive(length: number): Promise<Buffer> {
    while (this.#received < length) {
      if (this.socket.destroyed) throw new Error(`closed after ${this.#received} of ${length} bytes`);
      await new Promise<void>((resolve) => (this.#waiting = resolve));
    }
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all.subarray(length)];
    this.#received -= length;
    return all.subarray(0, length);
  }

  /** The next record of one fragment, with its mark, in hex. */
  async receiveRecord(): Promise<string> {
    const mark = await this.receive(4);
    const body = await this.receive(mark.readUInt32BE() - 0x8000_0000);
    return mark.toString('hex') + body.toString('hex');
  }

  /** Takes nothing from the kernel any more. */
  stopReading(): void {
    this.socket.pause();
  }

  destroy(): void {
    this.socket.destroy();
  }
}
