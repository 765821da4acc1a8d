import { z } from 'zod';
import { isDigest } from '../../core/digest.js';
import { CalyxError, isCalyxError } from '../../core/errors.js';
import { isRevisionId } from '../../core/names.js';
import { hubError, type HubQuestion } from './hub-errors.js';
import { destroy, explainFailure, type HttpWalker } from './http-walker.js';
import type { RemoteFile } from './remote-model.js';

/** Real pages have about 1,000 entries of 300 bytes. */
const MAX_PAGE_BYTES = 16 * 1024 * 1024;
const MAX_PAGES = 1_000;
/** More than any model has. */
const MAX_FILES = 100_000;

const infoSchema = z.object({ sha: z.string().refine(isRevisionId) });

const entrySchema = z.object({
  path: z.string().min(1).max(4096),
  size: z.int().nonnegative(),
  oid: z.string().regex(/^[0-9a-f]{40}$/).optional(),
  lfs: z.object({ oid: z.string().refine(isDigest), size: z.int().nonnegative() }).optional(),
}); // prettier-ignore

/** What {@link listHub} found. */
export interface HubListing {
  /** The commit. */
  readonly revision: string;
  readonly files: readonly RemoteFile[];
}

/**
 * What a revision of a repository holds, by the API of the Hub: which commit it is, then the tree of that very commit, page by page.
 *
 * @throws CalyxError as {@link hubError} tells; `unavailable` for an answer that is not one of the Hub
 */
export async function listHub(
  walker: HttpWalker,
  asked: HubQuestion,
  signal: AbortSignal,
): Promise<HubListing> {
  const { endpoint, repo } = asked;
  const base = endpoint.href.replace(/\/$/, '');
  let pages = 0;
  const fetchPage = async (input: string | URL | Request): Promise<Response> => {
    pages += 1;
    if (pages > MAX_PAGES) throw wrong(asked, `lists more than ${MAX_PAGES} pages`);
    const url = new URL(input instanceof Request ? input.url : input);
    // A page may name the next one at any address; only those of the Hub itself are pages of it.
    if (url.origin !== endpoint.origin) throw wrong(asked, 'goes on at another server');
    const { bytes, link } = await readPage(walker, url, asked, signal);
    return new Response(bytes, {
      headers: { 'content-type': 'application/json', ...(link !== undefined && { link }) },
    });
  };

  const infoUrl = new URL(`${base}/api/models/${repo}/revision/${encodeURIComponent(asked.revision)}`);
  const info = infoSchema.safeParse(parse((await readPage(walker, infoUrl, asked, signal)).bytes));
  if (!info.success) throw wrong(asked, 'does not say which commit it is');
  const revision = info.data.sha;
  // Loaded when it is needed: most commands do not.
  const { listFiles } = await import('@huggingface/hub');
  const files: RemoteFile[] = [];
  try {
    for await (const entry of listFiles({
      repo: { type: 'model', name: repo },
      revision,
      recursive: true,
      hubUrl: base,
      fetch: fetchPage,
    })) {
      if (entry.type === 'directory') continue;
      const { path, size, oid, lfs } = entrySchema.parse(entry);
      // For a large file `oid` names the pointer that stands for it in git.
      if (lfs !== undefined) files.push({ path, size: lfs.size, sha256: lfs.oid });
      else files.push({ path, size, ...(oid !== undefined && { gitBlob: oid }) });
      if (files.length > MAX_FILES) throw wrong(asked, `lists more than ${MAX_FILES} files`);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw isCalyxError(error) ? error : wrong(asked, 'sends a listing that is not one', error);
  }
  return { revision, files };
}

async function readPage(
  walker: HttpWalker,
  url: URL,
  asked: HubQuestion,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array<ArrayBuffer>; readonly link: string | undefined }> {
  const { status, headers, body } = await walker.get(url, { accept: 'application/json' }, signal);
  if (status !== 200) {
    destroy(body);
    throw hubError({ status, headers }, asked);
  }
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of body as AsyncIterable<Uint8Array>) {
      size += piece.byteLength;
      if (size > MAX_PAGE_BYTES) throw wrong(asked, 'sends a page without an end');
      pieces.push(piece);
    }
  } catch (error) {
    destroy(body);
    signal.throwIfAborted();
    throw isCalyxError(error) ? error : explainFailure(error, url, walker.stallMs);
  }
  const { link } = headers;
  return { bytes: Uint8Array.from(Buffer.concat(pieces)), link: typeof link === 'string' ? link : undefined };
}

function parse(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return undefined;
  }
}

function wrong({ endpoint, repo }: HubQuestion, problem: string, cause?: unknown): CalyxError {
  return new CalyxError(
    'unsupported',
    `${endpoint.origin} does not answer as the Hub does: for ${repo} it ${problem}`,
    {
      hint: 'check the address: is it the Hub, a mirror of it, or a Calyx store?',
      cause,
    },
  );
}
