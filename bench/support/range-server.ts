/**
 * A Hub as small as can be, in a process of its own: one repository, `bench/model`, whose files are those of the directory that is its
 * argument. Small files come at once, large ones by a redirect to a second port. Prints its address.
 */
import { execFileSync } from 'node:child_process';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';

const [directory = '.'] = process.argv.slice(2);
const names = readdirSync(directory)
  .filter((name) => !name.startsWith('.'))
  .sort();
const places = names.map((name) => join(directory, name));
const run = (program: string, ...args: string[]): string[] =>
  execFileSync(program, [...args, ...places], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
const git = run('git', 'hash-object', '--no-filters');
const sums = run('sha256sum');
const COMMIT = 'b'.repeat(40);
const entries = names.map((path, index) => {
  const { size } = statSync(places[index] ?? '');
  const oid = git[index];
  const lfs = path.endsWith('.safetensors');
  return {
    type: 'file',
    path,
    size,
    oid,
    ...(lfs && { lfs: { oid: sums[index]?.slice(0, 64), size, pointerSize: 130 } }),
  };
});

function send(request: IncomingMessage, response: ServerResponse): void {
  const name = decodeURIComponent(
    new URL(request.url ?? '/', 'http://localhost').pathname.split('/').at(-1) ?? '',
  );
  const entry = entries.find(({ path }) => path === name);
  if (entry === undefined) {
    response.writeHead(404).end();
    return;
  }
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  const start = Number(from ?? 0);
  const end = Number(to ?? entry.size - 1);
  response.writeHead(from === undefined ? 200 : 206, {
    'content-length': end - start + 1,
    ...(from !== undefined && { 'content-range': `bytes ${start}-${end}/${entry.size}` }),
  });
  createReadStream(join(directory, name), { start, end, highWaterMark: 1024 * 1024 }).pipe(response);
}

const files = createServer(send);
const hub = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  const json = (value: unknown): void => {
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
  const name = pathname.split('/').at(-1) ?? '';
  const { port } = files.address() as AddressInfo;
  if (pathname.includes('/revision/')) json({ sha: COMMIT });
  else if (pathname.includes('/tree/')) json(entries);
  else if (!name.endsWith('.safetensors')) send(request, response);
  else response.writeHead(302, { location: `http://127.0.0.1:${port}/${name}` }).end();
});
files.listen(0, '127.0.0.1', () => {
  hub.listen(0, '127.0.0.1', () => {
    process.stdout.write(`http://127.0.0.1:${(hub.address() as AddressInfo).port}\n`);
  });
});
