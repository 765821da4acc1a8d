import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Grant } from '../../core/access.js';
import { wallClock, type Clock } from '../../core/clock.js';
import { formatToken, parseToken } from '../../core/cluster-token.js';
import { CalyxError } from '../../core/errors.js';
import { checkNewToken, type NewToken } from './new-token.js';
import { tellAll } from './tell-all.js';
import { unauthenticated } from './unauthenticated.js';
import { readPrivateFile, writePrivateFile } from '../../storage/files/private-file.js';
import { formatTokenFile, parseTokenFile } from './token-file.js';
import { checkShare, makeRoom, TOKEN_PLACES } from './token-places.js';
import { endOf, grantOf, publicRecord, type StoredToken, type TokenRecord } from './token-record.js';
import { Version } from './version.js';

/** Options of {@link TokenTable.open}. */
export interface TokenTableOptions {
  /** Of the cluster's certificate: what the last part of its tokens says. */
  readonly fingerprint: string;
  /** Must tell the time of day. @default wallClock */
  readonly clock?: Clock;
  /** On a replica, whose table follows that of another store: what to say to who wants to make or revoke a token. @default none */
  readonly elsewhere?: (() => CalyxError) | undefined;
  /** How many tokens there may be, with those that are listed as revoked or expired. @default 10000 */
  readonly maxTokens?: number;
  /** Of those, how many may be made with one token from other machines, and with the tokens that were made with it. @default 1000 */
  readonly maxTokensUnderOne?: number;
}

/** A token at the only moment when its text is known. */
export interface CreatedToken {
  /** A secret. */
  readonly token: string;
  readonly record: TokenRecord;
}

/** Several times what the largest table takes. */
const MAX_FILE_BYTES = 32 * 1024 * 1024;
/** How long one that is revoked or expired stays listed. */
const LISTED_MS = 30 * 86_400_000;
/** How long one that is revoked or expired is denied: certificates live at most 24 hours, and clocks differ. */
const DENIED_MS = 25 * 3_600_000;
/** The clock may be set, and a machine may sleep, so it is looked at again; and timers hold no more than 2^31 ms. */
const MAX_SLEEP_MS = 60_000;
const LOCAL_NAME = 'local';

/**
 * The tokens of a cluster, in a file that only the owner of the data directory reads (0600). Whatever is changed counts when it is on the
 * disk; if it cannot be written, nothing has changed.
 */
export class TokenTable {
  readonly #file: string;
  readonly #fingerprint: string;
  readonly #clock: Clock;
  readonly #elsewhere: (() => CalyxError) | undefined;
  readonly #maxTokens: number;
  readonly #maxTokensUnderOne: number;
  readonly #listeners = new Set<(tokenId: string) => void>();
  /** What an unknown id is compared with; nobody knows a secret that has it. */
  readonly #nobodys = randomBytes(32);
  #tokens: ReadonlyMap<string, StoredToken>;
  #writing: Promise<unknown> = Promise.resolve();
  readonly #version = new Version();
  readonly #tableVersion = new Version();
  /** Expiry up to here has been told. */
  #toldUntil: number;
  #watch = new AbortController();
  #closed = false;

  private constructor(file: string, options: TokenTableOptions, tokens: readonly StoredToken[]) {
    this.#file = file;
    this.#fingerprint = options.fingerprint;
    this.#clock = options.clock ?? wallClock;
    this.#elsewhere = options.elsewhere;
    this.#maxTokens = options.maxTokens ?? TOKEN_PLACES.maxTokens;
    this.#maxTokensUnderOne = options.maxTokensUnderOne ?? TOKEN_PLACES.maxTokensUnderOne;
    this.#tokens = new Map(tokens.map((token) => [token.id, token]));
    this.#toldUntil = this.#clock.now();
    this.#watchExpiry();
  }

  /**
   * Reads the table; it is empty if the file is not there.
   *
   * @throws CalyxError `refused` if others may read or write the file; `unreadable` if it is not a table of tokens
   */
  static async open(file: string, options: TokenTableOptions): Promise<TokenTable> {
    const text = await readPrivateFile(file, MAX_FILE_BYTES);
    return new TokenTable(file, options, text === undefined ? [] : parseTokenFile(file, text));
  }

  /** Throws on a replica what says where the tokens are made. */
  assertOwn(): void {
    if (this.#elsewhere !== undefined) throw this.#elsewhere();
  }

  /** All that are listed, the oldest first; without hashes. */
  list(): TokenRecord[] {
    return [...this.#tokens.values()].map(publicRecord);
  }

  /** One of them by its id, whatever has become of it. */
  find(id: string): TokenRecord | undefined {
    const token = this.#tokens.get(id);
    return token && publicRecord(token);
  }

  /**
   * Makes a token. Its text is told here and never again.
   *
   * @throws CalyxError `usage` for a name, pattern or lifetime that is none; `over-budget` if there are too many, or too many that were
   * made with the same token
   */
  async create(wanted: NewToken): Promise<CreatedToken> {
    if (wanted.name === LOCAL_NAME)
      throw new CalyxError(
        'usage',
        `the name '${LOCAL_NAME}' belongs to the token that each store makes for itself`,
        {
          hint: 'choose another name',
        },
      );
    checkNewToken(wanted);
    return this.#change((tokens) => {
      const overSince = this.#now() - DENIED_MS;
      const maker = wanted.madeWith === undefined ? undefined : tokens.get(wanted.madeWith);
      // Who has the local token manages the store on its machine, and from others as well.
      const under = maker?.name === LOCAL_NAME ? undefined : (maker?.under ?? wanted.madeWith);
      checkShare(tokens, under, this.#maxTokensUnderOne, overSince);
      makeRoom(tokens, this.#maxTokens, overSince);
      return this.#add(tokens, wanted, under);
    });
  }

  /**
   * Revokes a token: from now on it opens nothing, and whoever listens is told. One that is revoked already stays as it is.
   *
   * @throws CalyxError `not-found`
   */
  async revoke(id: string): Promise<TokenRecord> {
    return this.#change((tokens) => {
      const token = tokens.get(id);
      if (token === undefined) throw noToken(id);
      const revoked = { ...token, revokedAt: token.revokedAt ?? this.#now() };
      tokens.set(id, revoked);
      return publicRecord(revoked);
    });
  }

  /**
   * Who holds a token.
   *
   * @throws CalyxError `unauthenticated`; that a token was revoked or has expired is told only to who knows its secret
   */
  check(text: string): Grant {
    return this.assertLive(this.identify(text));
  }

  /**
   * Which token it is, also if it was revoked or has expired; whoever shows it knows its secret.
   *
   * @throws CalyxError `unauthenticated`
   */
  identify(text: string): TokenRecord {
    const token = parseToken(text);
    if (token === undefined) throw unauthenticated('this is not a token of calyx');
    // The fingerprint is no secret: each handshake shows the certificate.
    if (token.fingerprint !== this.#fingerprint)
      throw unauthenticated('this token is one of another cluster');
    const stored = this.#tokens.get(token.id);
    const right = timingSafeEqual(
      sha256(token.secret),
      stored === undefined ? this.#nobodys : Buffer.from(stored.sha256, 'hex'),
    );
    if (!right || stored === undefined) throw unauthenticated('this token is not known here');
    return publicRecord(stored);
  }

  /**
   * What the holder of a token may do.
   *
   * @throws CalyxError `unauthenticated` if it was revoked or has expired
   */
  assertLive(token: TokenRecord): Grant {
    if (token.revokedAt !== undefined) throw unauthenticated('this token was revoked');
    if (endOf(token) <= this.#clock.now()) throw unauthenticated('this token has expired');
    return grantOf(token);
  }

  /** The ids of those that were revoked or have expired so lately that a certificate of theirs may still be good. */
  denied(): string[] {
    const now = this.#clock.now();
    return [...this.#tokens.values()]
      .filter((token) => endOf(token) <= now && endOf(token) > now - DENIED_MS)
      .map(({ id }) => id);
  }

  /** The time by which tokens are judged, in milliseconds since 1970. */
  get now(): number {
    return this.#now();
  }

  /** Another number after each token that is revoked or expires, and after each start. */
  get version(): number {
    return this.#version.now;
  }

  /** Waits until the version is another. Rejects with the signal's reason. */
  changed(version: number, signal: AbortSignal): Promise<void> {
    return this.#version.changed(version, signal);
  }

  /** All that are listed, with the hashes of their secrets: for the other stores of the cluster alone. */
  stored(): readonly StoredToken[] {
    return [...this.#tokens.values()];
  }

  /** Another number after each change of what is listed, and after each start. */
  get tableVersion(): number {
    return this.#tableVersion.now;
  }

  /** Waits until the version of the table is another. Rejects with the signal's reason. */
  tableChanged(version: number, signal: AbortSignal): Promise<void> {
    return this.#tableVersion.changed(version, signal);
  }

  /**
   * Takes over what the store that makes the tokens lists. It counts at once, also if the disk then fails: whoever listens is told of
   * each token that was good and is not any more, or is another one now.
   *
   * @throws CalyxError `disk-full`, `unreadable` if it cannot be written
   */
  replace(tokens: readonly StoredToken[]): Promise<void> {
    const before = this.#tokens;
    const now = this.#now();
    const text = formatTokenFile(tokens);
    if (text === formatTokenFile([...before.values()])) return Promise.resolve();
    this.#tokens = new Map(tokens.map((token) => [token.id, token]));
    const ended = [...before.values()].filter((old) => {
      if (old.revokedAt !== undefined || endOf(old) <= this.#toldUntil) return false;
      const kept = this.#tokens.get(old.id);
      return kept === undefined || endOf(kept) <= now || !opensTheSame(old, kept);
    });
    this.#tableVersion.next();
    // Also tokens that were never seen while they were good may be denied from now on.
    this.#version.next();
    this.#tell(ended.map(({ id }) => id));
    this.#watchExpiry();
    const written = this.#writing.then(() => writePrivateFile(this.#file, text));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  /** Calls `listener` with the id of each token that is revoked or expires, when it happens. Returns what ends that. */
  onRevoked(listener: (tokenId: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Makes sure that a file (0600) holds the text of a token `local` of role admin: whoever may read the file may manage. If the file is
   * missing or does not match the table, a new one is made, and the old one is revoked.
   *
   * @returns the text of the token; a secret
   * @throws CalyxError `refused` if others may read the file
   */
  async ensureLocal(file: string): Promise<string> {
    const present = (await readPrivateFile(file, 1024))?.trim();
    if (present !== undefined && this.#isLocal(present)) return present;
    const { token } = await this.#change((tokens) => {
      for (const old of tokens.values())
        if (old.name === LOCAL_NAME) tokens.set(old.id, { ...old, revokedAt: old.revokedAt ?? this.#now() });
      // However many others there are: without it nobody could revoke any.
      return this.#add(tokens, { name: LOCAL_NAME, role: 'admin', models: '*' });
    });
    // If this fails, nobody knows the new one, and the next start makes another.
    await writePrivateFile(file, `${token}\n`);
    return token;
  }

  /** Stops looking for expiry, and waits for what is being written. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#watch.abort();
    await this.#writing.catch(() => undefined);
  }

  #isLocal(text: string): boolean {
    try {
      const { name, role, models } = this.check(text);
      return name === LOCAL_NAME && role === 'admin' && models === '*';
    } catch {
      return false;
    }
  }

  #add(
    tokens: Map<string, StoredToken>,
    { name, role, models, expiresInMs }: NewToken,
    under?: string,
  ): CreatedToken {
    let id = newId();
    while (tokens.has(id)) id = newId();
    const secret = randomBytes(32).toString('base64url');
    const createdAt = this.#now();
    const stored: StoredToken = {
      id,
      name,
      role,
      models,
      createdAt,
      ...(expiresInMs === undefined ? {} : { expiresAt: createdAt + Math.ceil(expiresInMs) }),
      ...(under === undefined ? {} : { under }),
      sha256: sha256(secret).toString('hex'),
    };
    tokens.set(id, stored);
    return {
      token: formatToken({ id, secret, fingerprint: this.#fingerprint }),
      record: publicRecord(stored),
    };
  }

  /** One change after another: to a copy, which is written and then takes the place of the table. */
  #change<T>(edit: (tokens: Map<string, StoredToken>) => T): Promise<T> {
    const result = this.#writing.then(async () => {
      this.assertOwn();
      const before = this.#tokens;
      const listedSince = this.#now() - LISTED_MS;
      const tokens = new Map([...before].filter(([, token]) => endOf(token) > listedSince));
      const value = edit(tokens);
      await writePrivateFile(this.#file, formatTokenFile([...tokens.values()]));
      this.#tokens = tokens;
      this.#tableVersion.next();
      const revoked = [...tokens.values()].filter(
        ({ id, revokedAt }) => revokedAt !== undefined && before.get(id)?.revokedAt === undefined,
      );
      this.#tell(revoked.map(({ id }) => id));
      this.#watchExpiry();
      return value;
    });
    this.#writing = result.catch(() => undefined);
    return result;
  }

  /** Sleeps until the next token expires, and tells those who listen. */
  #watchExpiry(): void {
    if (this.#closed) return;
    this.#watch.abort();
    this.#watch = new AbortController();
    const { signal } = this.#watch;
    const watch = async (): Promise<void> => {
      for (;;) {
        const next = this.#nextExpiry();
        if (next === undefined) return;
        await this.#clock.sleep(Math.min(Math.max(next - this.#clock.now(), 1), MAX_SLEEP_MS), signal);
        this.#tellExpired();
      }
    };
    // It ends only by its signal.
    watch().catch(() => undefined);
  }

  #nextExpiry(): number | undefined {
    const coming = [...this.#tokens.values()]
      .filter(({ revokedAt }) => revokedAt === undefined)
      .flatMap(({ expiresAt }) =>
        expiresAt !== undefined && expiresAt > this.#toldUntil ? [expiresAt] : [],
      );
    return coming.length === 0 ? undefined : coming.reduce((least, at) => Math.min(least, at));
  }

  #tellExpired(): void {
    const since = this.#toldUntil;
    // If the clock is set back, what expires again is told again.
    this.#toldUntil = this.#clock.now();
    const expired = [...this.#tokens.values()].filter(
      ({ expiresAt = Infinity, revokedAt }) =>
        revokedAt === undefined && expiresAt > since && expiresAt <= this.#toldUntil,
    );
    this.#tell(expired.map(({ id }) => id));
  }

  #tell(ids: readonly string[]): void {
    if (ids.length === 0) return;
    this.#version.next();
    tellAll(this.#listeners, ids);
  }

  #now(): number {
    return Math.floor(this.#clock.now());
  }
}

function opensTheSame(a: StoredToken, b: StoredToken): boolean {
  return a.sha256 === b.sha256 && a.role === b.role && a.models === b.models;
}

function newId(): string {
  return randomBytes(6).toString('hex');
}

function sha256(secret: string): Buffer {
  return createHash('sha256').update(secret).digest();
}

/** The error for an id that is none. */
export function noToken(id: string): CalyxError {
  return new CalyxError('not-found', `there is no token ${id.slice(0, 40)}`, {
    hint: "'calyx token list' shows those that there are",
  });
}
