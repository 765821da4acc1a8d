import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** A file as the Hub knows it; its ids are what git and coreutils say. */
export interface HubFile {
  readonly path: string;
  readonly size: number;
  readonly place: string;
  readonly gitBlob: string;
  readonly sha256: string;
  /** Large files lie elsewhere: LFS. */
  readonly lfs: boolean;
}

interface HubRevision {
  readonly commit: string;
  readonly files: readonly HubFile[];
}

/** Who may have a repository. */
export type HubAccessRule = 'public' | 'private' | 'gated';

/** A request that has come in. */
export interface HubRequest {
  /** `cdn` is the second origin, to which large files lead. */
  readonly origin: 'hub' | 'cdn';
  readonly url: string;
  /** The file, if it is one of a model. */
  readonly path: string | undefined;
  readonly authorization: string | undefined;
  readonly range: string | undefined;
}

/**
 * What happens to a request instead of its answer: a status, the connection broken off at once or after half of the bytes, one byte that is
 * another, or silence.
 */
export type HubFault =
  | { readonly status: number; readonly headers?: Record<string, string> }
  | 'drop'
  | 'cut'
  | 'wrong'
  | 'silent';

const PAGE = 3;

/**
 * A fake that stands in where the real Hub cannot be reached. Its paths, headers, redirects and errors are those of huggingface.co: the tree
 * page by page with `Link`, small files at once, large ones by 302 to an address at a second origin that is signed and ends.
 */
export class FakeHub {
  readonly url: string;
  readonly cdnUrl: string;
  /** All requests so far. */
  readonly requests: HubRequest[] = [];
  /** Decides of each request what goes wrong with it. */
  fault: (request: HubRequest) => HubFault | undefined = () => undefined;
  /** How fast the second origin sends each answer. */
  bytesPerSecond = Infinity;
  /** The only token that is good. */
  token = 'hf_fakeTokenOfATest';
  /** Changes a page of the tree before it is sent. */
  rewriteTree: (entries: unknown[]) => unknown[] = (entries) => entries;
  /** Bytes of files that were sent. */
  bytesSent = 0;
  /** Addresses at the second origin hold for so many requests. */
  placeUses = Infinity;
  readonly #hub: Server;
  readonly #cdn: Server;
  readonly #repos = new Map<
    string,
    { rule: HubAccessRule; refs: Map<string, HubRevision>; commits: Map<string, HubRevision> }
  >();
  readonly #uses = new Map<string, number>();
  #signatures = 0;

  private constructor(hub: Server, cdn: Server) {
    this.#hub = hub;
    this.#cdn = cdn;
    this.url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    this.cdnUrl = `http://localhost:${(cdn.address() as AddressInfo).port}`;
    hub.on('request', (request, response) => this.#run(this.#answerHub(request, response), response));
    cdn.on('request', (request, response) => this.#run(this.#answerCdn(request, response), response));
  }

  static async start(): Promise<FakeHub> {
    const servers = [createServer(), createServer()] as const;
    for (const server of servers)
      await new Promise<void>((resolve) =>
        server.listen(0, server === servers[0] ? '127.0.0.1' : 'localhost', resolve),
      );
    return new FakeHub(...servers);
  }

  async stop(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Makes a directory the newest revision of a repository; returns the commit. */
  publish(repo: string, directory: string, ref = 'main', rule: HubAccessRule = 'public'): string {
    const known = this.#repos.get(repo) ?? {
      rule,
      refs: new Map<string, HubRevision>(),
      commits: new Map<string, HubRevision>(),
    };
    known.rule = rule;
    const files = hubFiles(directory);
    const commit = createHash('sha1')
      .update(`${repo} ${known.commits.size} ${JSON.stringify(files)}`)
      .digest('hex');
    const revision = { commit, files };
    known.refs.set(ref, revision);
    known.commits.set(commit, revision);
    this.#repos.set(repo, known);
    return commit;
  }

  /** The files of a revision. */
  files(repo: string, ref = 'main'): readonly HubFile[] {
    return this.#repos.get(repo)?.refs.get(ref)?.files ?? [];
  }

  /** Requests for the content of a file. */
  reads(path: string): HubRequest[] {
    return this.requests.filter((request) => request.path === path);
  }

  #run(answer: Promise<void>, response: ServerResponse): void {
    answer.catch(() => response.destroy());
  }

  #note(origin: HubRequest['origin'], request: IncomingMessage, path: string | undefined): HubRequest {
    const { authorization, range } = request.headers;
    const noted = { origin, url: request.url ?? '', path, authorization, range };
    this.requests.push(noted);
    return noted;
  }

  async #answerHub(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url);
    const api = /^\/api\/models\/([^/]+\/[^/]+)\/(revision|tree)\/([^/]+)$/.exec(url.pathname);
    const resolve = /^\/([^/]+\/[^/]+)\/resolve\/([^/]+)\/(.+)$/.exec(url.pathname);
    const [, repo = '', , name = ''] = api ?? [, resolve?.[1], , resolve?.[2]];
    const path = resolve?.[3] === undefined ? undefined : decodeURIComponent(resolve[3]);
    const noted = this.#note('hub', request, path);
    if (await this.#failed(noted, response)) return;
    const found = this.#repos.get(repo);
    const { authorization } = request.headers;
    if (authorization !== undefined && authorization !== `Bearer ${this.token}`) {
      refuse(response, 401, undefined, 'Invalid credentials in Authorization header');
      return;
    }
    const known = authorization !== undefined;
    if (found === undefined || (found.rule === 'private' && !known)) {
      refuse(
        response,
        known ? 404 : 401,
        'RepoNotFound',
        known ? 'Repository not found' : 'Invalid username or password.',
      );
      return;
    }
    const revision = found.refs.get(decodeURIComponent(name)) ?? found.commits.get(name);
    if (revision === undefined) {
      refuse(response, 404, 'RevisionNotFound', `Invalid rev id: ${name}`);
      return;
    }
    if (api?.[2] === 'revision')
      { json(response, { _id: '0', id: repo, modelId: repo, sha: revision.commit, private: found.rule === 'private', gated: found.rule === 'gated' ? 'auto' : false, siblings: revision.files.map(({ path: rfilename }) => ({ rfilename })) }); return; } // prettier-ignore
    if (api?.[2] === 'tree') {
      this.#tree(url, revision, response);
      return;
    }
    if (found.rule === 'gated' && !known)
      { refuse(response, 401, 'GatedRepo', `Access to model ${repo} is restricted. You must have access to it and be authenticated to access it. Please log in.`); return; } // prettier-ignore
    if (found.rule === 'gated')
      { refuse(response, 403, 'GatedRepo', `Access to model ${repo} is restricted and you are not in the authorized list. Visit https://huggingface.co/${repo} to ask for access.`); return; } // prettier-ignore
    const file = revision.files.find((one) => one.path === path);
    if (file === undefined) {
      refuse(response, 404, 'EntryNotFound', 'Entry not found');
      return;
    }
    response.setHeader('x-repo-commit', revision.commit);
    response.setHeader('accept-ranges', 'bytes');
    if (!file.lfs) return this.#send(request, response, file, noted, `"${file.gitBlob}"`);
    this.#signatures += 1;
    const place = `${this.cdnUrl}/repos/${repo}/${file.sha256}?X-Amz-Signature=${this.#signatures}&path=${encodeURIComponent(file.path)}`;
    response.writeHead(302, { location: place, 'x-linked-etag': `"${file.sha256}"`, 'x-linked-size': String(file.size), 'content-length': '0' }); // prettier-ignore
    response.end();
  }

  async #answerCdn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.cdnUrl);
    const path = url.searchParams.get('path') ?? '';
    const noted = this.#note('cdn', request, path);
    if (await this.#failed(noted, response)) return;
    const signature = url.searchParams.get('X-Amz-Signature') ?? '';
    const uses = (this.#uses.get(signature) ?? 0) + 1;
    this.#uses.set(signature, uses);
    if (uses > this.placeUses) {
      response.writeHead(403, { 'content-type': 'application/xml' }).end('<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>'); // prettier-ignore
      return;
    }
    const [, , org, name, sha256] = url.pathname.split('/');
    const commits = [...(this.#repos.get(`${org}/${name}`)?.commits.values() ?? [])];
    // The newest one: the directories of older tests are gone.
    const file = commits.flatMap(({ files }) => files).findLast((one) => one.sha256 === sha256);
    if (file === undefined) return void response.writeHead(404).end();
    await this.#send(request, response, file, noted, `"${file.sha256.slice(0, 32)}"`);
  }

  #tree(url: URL, { files }: HubRevision, response: ServerResponse): void {
    const folders = new Set(files.flatMap(({ path }) => path.split('/').slice(0, -1).map((_, end, all) => all.slice(0, end + 1).join('/')))); // prettier-ignore
    const entries: unknown[] = this.rewriteTree([
      ...[...folders].map((path) => ({ type: 'directory', oid: '0'.repeat(40), size: 0, path })),
      ...files.map(({ path, size, gitBlob, sha256, lfs }) =>
        // For a large file, `oid` is that of the pointer that stands for it in git.
        lfs
          ? {
              type: 'file',
              oid: gitIdOf(pointer(sha256, size)),
              size,
              lfs: { oid: sha256, size, pointerSize: pointer(sha256, size).length },
              path,
            }
          : { type: 'file', oid: gitBlob, size, path },
      ),
    ]);
    const from = Number(url.searchParams.get('cursor') ?? 0);
    if (from + PAGE < entries.length) {
      url.searchParams.set('cursor', String(from + PAGE));
      response.setHeader('link', `<${url.href}>; rel="next"`);
    }
    json(response, entries.slice(from, from + PAGE));
  }

  async #failed(request: HubRequest, response: ServerResponse): Promise<boolean> {
    const fault = this.fault(request);
    if (fault === 'drop') response.destroy();
    else if (fault === 'silent') await new Promise((resolve) => response.once('close', resolve));
    else if (typeof fault === 'object') response.writeHead(fault.status, fault.headers).end();
    else return false;
    return true;
  }

  async #send(
    request: IncomingMessage,
    response: ServerResponse,
    file: HubFile,
    noted: HubRequest,
    etag: string,
  ): Promise<void> {
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const start = match === null ? 0 : Number(match[1]);
    const end = match === null ? file.size - 1 : Math.min(Number(match[2]), file.size - 1);
    if (match !== null && start >= file.size)
      return void response.writeHead(416, { 'content-range': `bytes */${file.size}` }).end();
    response.writeHead(match === null ? 200 : 206, {
      etag,
      'content-length': String(Math.max(0, end - start + 1)),
      ...(match !== null && { 'content-range': `bytes ${start}-${end}/${file.size}` }),
    });
    if (file.size === 0) return void response.end();
    const fault = this.fault(noted);
    const stop = fault === 'cut' ? start + Math.floor((end - start) / 2) : end;
    let first = fault === 'wrong';
    const through = new PassThrough({
      transform: (piece: Buffer, _encoding, done) => {
        if (first) piece[0] = (piece[0] ?? 0) ^ 1;
        first = false;
        this.bytesSent += piece.byteLength;
        setTimeout(() => done(null, piece), (piece.byteLength / this.bytesPerSecond) * 1000);
      },
    });
    const content = createReadStream(file.place, { start, end: stop });
    if (fault === 'cut') {
      for await (const piece of content.pipe(through)) response.write(piece);
      response.destroy();
    } else await pipeline(content, through, response);
  }
}

function pointer(sha256: string, size: number): string {
  return `version https://git-lfs.github.com/spec/v1\noid sha256:${sha256}\nsize ${size}\n`;
}

/** The id of git for a text, by git. */
function gitIdOf(text: string): string {
  return execFileSync('git', ['hash-object', '--stdin'], { input: text, encoding: 'utf8' }).trim();
}

/** The files of a directory, with the ids that git and coreutils give them. */
function hubFiles(directory: string): HubFile[] {
  const paths = readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => statSync(join(directory, path)).isFile())
    .sort();
  const places = paths.map((path) => join(directory, path));
  const git = execFileSync('git', ['hash-object', '--no-filters', ...places], { encoding: 'utf8' })
    .trimEnd()
    .split('\n');
  const sums = execFileSync('sha256sum', places, { encoding: 'utf8' }).trimEnd().split('\n');
  return paths.map((path, index) => ({
    path,
    size: statSync(places[index] ?? '').size,
    place: places[index] ?? '',
    gitBlob: git[index] ?? '',
    sha256: (sums[index] ?? '').slice(0, 64),
    lfs: /\.(?:safetensors|bin)$/.test(path),
  }));
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json; charset=utf-8' }).end(JSON.stringify(value));
}

function refuse(response: ServerResponse, status: number, code: string | undefined, message: string): void {
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'x-error-message': message, ...(code !== undefined && { 'x-error-code': code }) }); // prettier-ignore
  response.end(JSON.stringify({ error: message }));
}
