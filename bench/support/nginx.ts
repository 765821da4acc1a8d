import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { startServer, type Server } from './processes.js';

/**
 * Starts nginx with a configuration of our own: one worker (its default), sendfile, on a free port of loopback.
 *
 * @param directory for its configuration and temporary files
 * @param root the files that it serves
 */
export async function startNginx(
  directory: string,
  root: string,
): Promise<Server & { readonly url: string }> {
  const port = await freePort();
  await mkdir(directory, { recursive: true });
  const config = join(directory, 'nginx.conf');
  await writeFile(config, configuration(directory, root, port));
  const server = await startServer(
    'nginx',
    ['-p', directory, '-e', 'stderr', '-c', config],
    /start worker process \d+/,
  );
  return { ...server, url: `http://127.0.0.1:${port}` };
}

function configuration(directory: string, root: string, port: number): string {
  // A worker of a master that runs as root would be 'nobody', who may not read our directory.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `${kind}_temp_path ${join(directory, kind)};`)
    .join('\n  ');
  return `${user}
daemon off;
worker_processes 1;
pid ${join(directory, 'nginx.pid')};
error_log stderr notice;
events {}
http {
  ${temporary}
  access_log off;
  sendfile on;
  default_type application/octet-stream;
  server {
    listen 127.0.0.1:${port};
    root ${root};
  }
}
`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port was given');
  return address.port;
}
