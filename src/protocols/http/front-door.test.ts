import { EventEmitter } from 'node:events';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { FrontDoor } from './front-door.js';

/** As much of a socket as the door looks at. */
class FakeSocket extends EventEmitter {
  readonly remoteAddress = '192.0.2.1';
  readonly localAddress = '192.0.2.9';
  readonly localPort = 7070;
  readonly remotePort: number;
  destroyed = false;
  wasReset = false;

  constructor(remotePort: number) {
    super();
    this.remotePort = remotePort;
  }

  destroy(): void {
    this.destroyed = true;
  }

  resetAndDestroy(): void {
    this.wasReset = this.destroyed = true;
  }

  read(): null {
    return null;
  }
}

const asSocket = (socket: FakeSocket): Socket => socket as unknown as Socket;

describe('a connection that follows another from the same port', () => {
  const server = createServer();
  const door = new FrontDoor(server, {
    tls: true,
    maxConnections: 10,
    isIdle: () => true,
    strangers: { perAddress: 1, inAll: 1 },
  });
  const come = (port: number): FakeSocket => {
    const socket = new FakeSocket(port);
    server.emit('connection', socket);
    return socket;
  };

  it('keeps its place and can be cut, though the first is seen to leave after it came', () => {
    const first = come(40_000);
    const second = come(40_000);
    first.emit('close');
    const secured = new FakeSocket(40_000);
    server.emit('secureConnection', secured);
    door.recognize(asSocket(secured), { tokenId: 'a', name: 'a', role: 'read', models: '*' });
    // Whoever was recognised has left the only place for strangers, so that nobody has to make room.
    const stranger = come(40_001);
    expect([second.destroyed, stranger.destroyed]).toEqual([false, false]);
    // Nor is the newcomer of the same ends taken for it.
    const third = come(40_000);
    door.cut(asSocket(secured));
    expect([first.wasReset, second.wasReset, third.wasReset]).toEqual([false, true, false]);
    for (const socket of [second, secured, stranger, third]) socket.emit('close');
  });
});
