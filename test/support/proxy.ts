import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** What a proxy does to what passes. */
export interface ProxyOptions {
  /** After how many bytes from the store a connection is cut; undefined for never. Asked once a connection. */
  readonly cutAfter?: () => number | undefined;
  /** Called with the bytes from the store that have passed since the proxy started. */
  readonly onBytes?: (total: number) => unknown;
  /** What comes after so many bytes waits until `open` resolves. */
  readonly gate?: { readonly afterBytes: number; readonly open: () => Promise<void> };
}

/** A TCP proxy before a store. */
export interface Proxy {
  readonly url: string;
  /** Connections that were cut. */
  readonly cuts: number;
  close(): Promise<void>;
}

/** Starts a proxy to a port of this machine. */
export async function startProxy(target: number, options: ProxyOptions): Promise<Proxy> {
  const sockets = new Set<Socket>();
  let cuts = 0;
  let total = 0;
  let opened: Promise<void> | undefined;
  const server = createServer((client) => {
    const store = connect(target, '127.0.0.1');
    const limit = options.cutAfter?.() ?? Infinity;
    let passed = 0;
    for (const socket of [client, store]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        store.destroy();
      });
    }
    client.pipe(store);
    const pass = (piece: Buffer): void => {
      const rest = limit - passed;
      passed += piece.byteLength;
      total += Math.min(piece.byteLength, rest);
      if (rest <= piece.byteLength) {
        cuts += 1;
        client.end(piece.subarray(0, rest));
        store.destroy();
      } else if (!client.write(piece)) {
        store.pause();
        client.once('drain', () => store.resume());
      }
      options.onBytes?.(total);
    };
    store.on('data', (piece: Buffer) => {
      const { gate } = options;
      if (gate === undefined || total < gate.afterBytes) {
        pass(piece);
        return;
      }
      store.pause();
      void (opened ??= gate.open()).then(() => {
        store.resume();
        pass(piece);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get cuts() {
      return cuts;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
