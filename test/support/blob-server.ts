import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** An HTTP server on loopback for the time of a test. */
export async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<URL> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
}

/** Serves blobs by single ranges as RFC 9110, section 14 asks. */
export function serveBlobs(blobs: ReadonlyMap<string, Uint8Array>): Promise<URL> {
  return serve((request, response) => {
    const blob = blobs.get(/^\/v1\/blobs\/([0-9a-f]{64})$/.exec(request.url ?? '')?.[1] ?? '');
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    if (blob === undefined || range === null) {
      response.writeHead(blob === undefined ? 404 : 400).end();
      return;
    }
    const start = Number(range[1]);
    const end = Math.min(Number(range[2]) + 1, blob.byteLength);
    if (start >= blob.byteLength) {
      response.writeHead(416, { 'content-range': `bytes */${blob.byteLength}` }).end();
      return;
    }
    response.writeHead(206, {
      'content-range': `bytes ${start}-${end - 1}/${blob.byteLength}`,
      'content-length': end - start,
    });
    response.end(blob.subarray(start, end));
  });
}
