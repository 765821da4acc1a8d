// Run as a child process: wire-recorder.js PORT HOST TARGET-PORT FILE. Passes on what comes to a port of a host to another one of it, and appends
// what the server there sends to FILE.down, what clients send to FILE.up. Says 'listening' when it does.
import { openSync, writeSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';

const [port = '', host = '', target = '', file = ''] = process.argv.slice(2);
const up = openSync(`${file}.up`, 'a');
const down = openSync(`${file}.down`, 'a');

function pass(from: Socket, to: Socket, record: number): void {
  from.on('data', (piece: Buffer) => {
    writeSync(record, piece);
    if (to.write(piece)) return;
    from.pause();
    to.once('drain', () => from.resume());
  });
  from.on('error', () => undefined);
  from.on('close', () => to.destroy());
}

createServer({ noDelay: true }, (client) => {
  const server = connect({ host, port: Number(target), noDelay: true });
  pass(client, server, up);
  pass(server, client, down);
}).listen(Number(port), host, () => process.stdout.write('listening\n'));
