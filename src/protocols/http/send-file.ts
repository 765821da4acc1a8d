import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Digest } from '../../core/digest.js';
import { isCalyxError } from '../../core/errors.js';
import { plainAddress } from '../../core/network-address.js';
import { sliceSegments, type FileNode, type TreeFile } from '../../catalog/file-tree.js';
import { matchesIfRange, namesTag, parseRange } from './range.js';
import { sendSegments, type SendOptions } from './send-segments.js';

/** Of names of content, which never change their meaning, so that caches may keep it. */
export const IMMUTABLE = 'public, max-age=31536000, immutable';

/** Options of {@link sendFile}. */
export interface SendFileOptions extends SendOptions {
  /** Called when `by`, an address, begins to read; what it returns is called when that is over. */
  readonly reading?: (what: ReadContent, by: string) => () => void;
  /** Called when an answer had to be cut off. */
  readonly onCutOff: (url: string, error: unknown) => void;
}

/** What is read over HTTP: a manifest, or what a file consists of; a file of the views says of which revision it is. */
export type ReadContent = { readonly manifest: Digest } | TreeFile | FileNode;

/** What the header of an answer says of a file. */
export interface Representation {
  /** Strong entity tag, quoted. */
  readonly tag: string;
  readonly type: string;
  /** The value of `Cache-Control`. */
  readonly cache: string;
  /** Of what it is read, if not of the file. */
  readonly of?: ReadContent;
  /** Further fields. */
  readonly headers?: OutgoingHttpHeaders;
}

/**
 * Answers GET or HEAD with a file, or with what of it the request wants: single ranges, `If-None-Match`, `If-Range` (RFC 9110).
 * It writes to the socket itself.
 *
 * @throws what reading throws, if nothing was sent yet
 */
export async function sendFile(
  request: FastifyRequest,
  reply: FastifyReply,
  file: TreeFile,
  options: SendFileOptions,
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
    ...about.headers,
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
  const done = options.reading?.(about.of ?? file, address);
  try {
    await sendSegments(reply.raw, sliceSegments(file, offset, length), options, beginContent);
  } catch (error) {
    // Before the header is out, the client can be told what is wrong.
    if (!reply.raw.headersSent && !isCalyxError(error, 'aborted')) throw error;
    if (!reply.sent) reply.hijack();
    if (!isCalyxError(error, 'aborted')) options.onCutOff(request.url, error);
  } finally {
    done?.();
  }
}
