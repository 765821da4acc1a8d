import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Grant } from '../../core/access.js';
import { parseDigest, type Digest } from '../../core/digest.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { plainAddress } from '../../core/network-address.js';
import {
  fileIdentity,
  sliceSegments,
  treeFile,
  walkTree,
  type Directory,
  type FileNode,
  type TreeFile,
} from '../../catalog/file-tree.js';
import { matchesIfRange, namesTag, parseRange } from './range.js';
import { sendSegments, type SendOptions } from './send-segments.js';

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
export interface Content extends SendOptions {
  /** What a grant shows; asked for each request. */
  view(grant: Grant): ContentView;
  /** Called when `by`, an address, begins to read; what it returns is called when that is over. */
  readonly reading?: (what: ReadContent, by: string) => () => void;
  /** Called when an answer had to be cut off. */
  readonly onCutOff: (url: string, error: unknown) => void;
}

/** What is read over HTTP: a manifest, or what a file consists of; a file of the views says of which revision it is. */
export type ReadContent = { readonly manifest: Digest } | TreeFile | FileNode;

const READ = { config: { access: 'read' } } as const;

/** Names of content never change their meaning, so caches may keep it. */
const IMMUTABLE = 'public, max-age=31536000, immutable';

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
    await send(request, reply, treeFile([{ literal: bytes }]), content, {
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
    await send(request, reply, file, content, {
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
    await send(request, reply, node, content, {
      // Not its path: another revision may stand there at the next request.
      tag: `"${fileIdentity(node)}"`,
      type: 'application/octet-stream',
      cache: 'no-cache',
    });
    return reply;
  });
}

interface Representation {
  /** Strong entity tag, quoted. */
  readonly tag: string;
  readonly type: string;
  readonly cache: string;
  /** Of what it is read, if not of the file. */
  readonly of?: ReadContent;
}

async function send(
  request: FastifyRequest,
  reply: FastifyReply,
  file: TreeFile,
  content: Content,
  about: Representation,
): Promise<void> {
  const { headers } = request;
  const ifRange = headers['if-range'];
  // Ranges are defined for GET only (RFC 9110, section 14.2).
  const ranged =
    request.method === 'GET' && (ifRange === undefined || matchesIfRange(String(ifRange), about.tag));
  const range = parseRange(ranged ? headers.range : undefined, file.size);
  const common = {
    'accept-ranges': 'bytes',
    'cache-control': about.cache,
    'content-type': about.type,
    'x-content-type-options': 'nosniff',
    etag: about.tag,
  };
  // We write to the socket ourselves, without fastify's copies.
  const begin = (status: number, more: OutgoingHttpHeaders): ServerResponse => {
    reply.hijack();
    return reply.raw.writeHead(status, { ...common, ...more });
  };
  if (namesTag(headers['if-none-match'], about.tag)) {
    begin(304, {}).end();
    return;
  }
  if (range.kind === 'unsatisfiable') {
    begin(416, { 'content-length': 0, 'content-range': `bytes */${file.size}` }).end();
    return;
  }
  const { offset, length } = range.kind === 'part' ? range.extent : { offset: 0, length: file.size };
  const contentRange =
    range.kind === 'part' ? { 'content-range': `bytes ${offset}-${offset + length - 1}/${file.size}` } : {};
  const beginContent = (): ServerResponse =>
    begin(range.kind === 'part' ? 206 : 200, { ...contentRange, 'content-length': length });
  if (request.method === 'HEAD') {
    beginContent().end();
    return;
  }
  const address = plainAddress(request.raw.socket.remoteAddress ?? request.ip);
  const done = content.reading?.(about.of ?? file, address);
  try {
    await sendSegments(reply.raw, sliceSegments(file, offset, length), content, beginContent);
  } catch (error) {
    // Before the header is out, the client can be told what is wrong.
    if (!reply.raw.headersSent && !isCalyxError(error, 'aborted')) throw error;
    if (!reply.sent) reply.hijack();
    if (!isCalyxError(error, 'aborted')) content.onCutOff(request.url, error);
  } finally {
    done?.();
  }
}
