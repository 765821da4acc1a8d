import type { FastifyInstance } from 'fastify';
import type { Grant } from '../../core/access.js';
import { parseDigest, type Digest } from '../../core/digest.js';
import { CalyxError } from '../../core/errors.js';
import { fileIdentity, treeFile, walkTree, type Directory } from '../../catalog/file-tree.js';
import { IMMUTABLE, sendFile, type SendFileOptions } from './send-file.js';

/** What of the content one who asks may see. */
export interface ContentView {
  /** The bytes of a manifest; rejects with `not-found`. */
  manifestBytes(digest: Digest): Promise<Uint8Array>;
  /** The size of a blob, or undefined. */
  blobSize(blob: Digest): Promise<number | undefined>;
  /** The views. */
  readonly tree: Directory;
}

/** What the content routes serve. */
export interface Content extends SendFileOptions {
  /** What a grant shows; asked for each request. */
  view(grant: Grant): ContentView;
}

const READ = { config: { access: 'read' } } as const;

/**
 * Routes for bytes, with single ranges, `ETag`, `If-None-Match`, `If-Range` and HEAD (RFC 9110):
 *
 * - `/v1/manifests/SHA256`, `/v1/blobs/SHA256`: by digest
 * - `/tree/PATH`: the views; a directory answers with the list of its names as JSON
 */
export function contentRoutes(server: FastifyInstance, content: Content): void {
  server.get<{ Params: { digest: string } }>('/v1/manifests/:digest', READ, async (request, reply) => {
    const digest = parseDigest(request.params.digest, 'the name of the manifest');
    const bytes = await content.view(request.grant).manifestBytes(digest);
    await sendFile(request, reply, treeFile([{ literal: bytes }]), content, {
      of: { manifest: digest },
      tag: `"${digest}"`,
      type: 'application/json',
      cache: IMMUTABLE,
    });
  });

  server.get<{ Params: { digest: string } }>('/v1/blobs/:digest', READ, async (request, reply) => {
    const blob = parseDigest(request.params.digest, 'the name of the blob');
    const size = await content.view(request.grant).blobSize(blob);
    if (size === undefined) throw new CalyxError('not-found', `the store does not have the blob ${blob}`);
    const file = treeFile(size === 0 ? [] : [{ blob, offset: 0, length: size }]);
    await sendFile(request, reply, file, content, {
      tag: `"${blob}"`,
      type: 'application/octet-stream',
      cache: IMMUTABLE,
    });
  });

  server.get<{ Params: { '*': string } }>('/tree/*', READ, async (request, reply) => {
    const path = request.params['*'].split('/').filter((name) => name !== '');
    const node = await walkTree(content.view(request.grant).tree, path);
    if (node === undefined)
      throw new CalyxError(
        'not-found',
        `there is no /${path.join('/').slice(0, 200)} in the views of this store`,
      );
    if (node.kind === 'directory') return { entries: await node.list() };
    await sendFile(request, reply, node, content, {
      // Not its path: another revision may stand there at the next request.
      tag: `"${fileIdentity(node)}"`,
      type: 'application/octet-stream',
      cache: 'no-cache',
    });
    return reply;
  });
}
