// Started by strangers.test.ts: `strangers-attack.js PORT CONNECTIONS` opens so many connections that come to nothing, asks slowly, and
// with wrong tokens, until it is told to stop. Then it tells what it did.
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const [port, connections] = process.argv.slice(2).map(Number) as [number, number];
const SLOW = 150;
const WRONG = 30;
/** Connections are opened in so many bursts a second. */
const BURSTS = 20;
const SECONDS = 4;

const done = { opened: 0, dropped: 0, slow: 0, wrong: 0 };
const open = new Set<Socket>();

function keep<T extends Socket>(socket: T): T {
  open.add(socket);
  socket.on('error', () => undefined);
  socket.once('close', () => open.delete(socket));
  return socket;
}

/** The first bytes of a ClientHello, or nothing at all; never more. */
function unfinished(index: number): void {
  const socket = keep(connect(port, '127.0.0.1'));
  socket.once('connect', () => (done.opened += 1));
  socket.once('close', () => (done.dropped += 1));
  if (index % 2 === 0) socket.write(Buffer.from([22, 3, 1, 2, 0, 1]));
}

/** A header that comes a byte at a time; when it is cut off, anew. */
function slowly(): void {
  const socket = keep(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }));
  socket.once('secureConnect', () => {
    done.slow += 1;
    socket.write('GET /v1/models HTTP/1.1\r\nx: ');
  });
  const drip = setInterval(() => socket.writable && socket.write('x'), 200);
  socket.once('close', () => {
    clearInterval(drip);
    if (!stopped) setTimeout(slowly, 250);
  });
}

/** Wrong tokens, as fast as connections come in and answers come. */
function wrongly(): void {
  const socket = keep(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }));
  socket.once('secureConnect', () => {
    done.wrong += 1;
    socket.write('GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer wrong\r\n\r\n');
  });
  socket.once('close', () => {
    if (!stopped) setTimeout(wrongly, 20);
  });
  socket.resume();
}

let stopped = false;
let begun = 0;
let all = false;
const bursts = setInterval(() => {
  const until = Math.min(begun + connections / (BURSTS * SECONDS), connections);
  for (; begun < until; begun += 1) unfinished(begun);
  if (done.opened === connections && !all) process.send?.('all opened');
  all = done.opened === connections;
}, 1000 / BURSTS);
for (let count = 0; count < SLOW; count += 1) setTimeout(slowly, count * 3);
for (let count = 0; count < WRONG; count += 1) wrongly();

process.once('message', () => {
  stopped = true;
  clearInterval(bursts);
  const held = open.size;
  for (const socket of open) socket.destroy();
  process.send?.({ ...done, held }, () => process.disconnect());
});
process.send?.('begun');
