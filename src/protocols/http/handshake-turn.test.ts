import { once } from 'node:events';
import { createServer, request, type Server } from 'node:https';
import { connect, type AddressInfo } from 'node:net';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { testAuthority, type TestAuthority } from '../../../test/support/certificates.js';
import { STORE_NAME } from '../../core/access.js';
import { FrontDoor } from './front-door.js';
import { tlsOptions } from './tls-settings.js';

let authority: TestAuthority;
let server: Server | undefined;
beforeAll(async () => {
  authority = await testAuthority();
});
afterEach(() => server?.close().closeAllConnections());

/** A server at whose door each waits for a turn that the test gives. */
async function start(): Promise<{ port: number; turn: Promise<() => void>; left: Promise<void> }> {
  const tls = await authority.server();
  const secure = (server = createServer(tlsOptions(tls, false), (_request, response) => response.end('in')));
  let came: (begin: () => void) => void = () => undefined;
  let went: () => void = () => undefined;
  const turn = new Promise<() => void>((resolve) => (came = resolve));
  const left = new Promise<void>((resolve) => (went = resolve));
  const enter = (_address: string, begin: () => void): (() => void) => {
    came(begin);
    return went;
  };
  new FrontDoor(secure, { tls: true, maxConnections: 8, isIdle: () => true, pace: { enter } });
  secure.listen(0, '127.0.0.1');
  await once(secure, 'listening');
  return { port: (secure.address() as AddressInfo).port, turn, left };
}

it('begins TLS with who has waited, with all that was sent meanwhile', async () => {
  const { port, turn } = await start();
  const { ca } = await authority.server();
  const asked = request({ host: '127.0.0.1', port, ca, servername: STORE_NAME, agent: false });
  const answered = once(asked, 'response') as Promise<[{ statusCode: number; resume(): void }]>;
  let secured = false;
  asked.on('socket', (socket) => socket.once('secureConnect', () => (secured = true))).end();
  const begin = await turn;
  expect(secured).toBe(false);
  begin();
  const [answer] = await answered;
  answer.resume();
  expect([answer.statusCode, secured]).toEqual([200, true]);
});

it('lets who leaves give up the turn', async () => {
  const { port, turn, left } = await start();
  const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.of(22, 3, 1)));
  await turn;
  socket.resetAndDestroy();
  await left;
});
