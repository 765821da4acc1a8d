import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Grant } from '../../core/access.js';
import { wallClock, type Clock } from '../../core/clock.js';
import { formatToken, parseToken } from '../../core/cluster-token.js';
import { CalyxError } from '../../core/errors.js';
import type { SignedStatement } from '../../core/signed-statement.js';
import { ExpiryWatch } from './expiry-watch.js';
import { checkNewToken, type NewToken } from './new-token.js';
import { tellAll } from './tell-all.js';
import { endedBetween, outdated, type ToldTokens } from './told-tokens.js';
import { unauthenticated } from './unauthenticated.js';
import { readPrivateFile, writePrivateFile } from '../../storage/files/private-file.js';
import { formatTokenFile, formatTokens, parseTokenFile, type TokenFile } from './token-file.js';
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
const LOCAL_NAME = 'local';

const NOTHING: TokenFile = { told: 0, tokens: [] };

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
  readonly #version: Version;
  readonly #expiry: ExpiryWatch;
  #tokens: ReadonlyMap<string, StoredToken>;
  #toldDenied: SignedStatement | undefined;
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(file: string, options: TokenTableOptions, { told, denied, tokens }: TokenFile) {
    this.#file = file;
    this.#fingerprint = options.fingerprint;
    this.#clock = options.clock ?? wallClock;
    this.#elsewhere = options.elsewhere;
    this.#maxTokens = options.maxTokens ?? TOKEN_PLACES.maxTokens;
    this.#maxTokensUnderOne = options.maxTokensUnderOne ?? TOKEN_PLACES.maxTokensUnderOne;
    this.#tokens = new Map(tokens.map((token) => [token.id, token]));
    this.#toldDenied = denied;
    this.#version = new Version(this.#isFollower ? told : Math.max(told + 1, this.#now()));
    this.#expiry = new ExpiryWatch({
      clock: this.#clock,
      tokens: () => this.#tokens.values(),
      onExpired: (ids) => this.#expired(ids),
    });
  }

  /**
   * Reads the table; it is empty if the file is not there.
   *
   * @throws CalyxError `refused` if others may read or write the file; `unreadable` if it is not a table of tokens
   */
  static async open(file: string, options: TokenTableOptions): Promise<TokenTable> {
    const text = await readPrivateFile(file, MAX_FILE_BYTES);
    return new TokenTable(file, options, text === undefined ? NOTHING : parseTokenFile(file, text));
  }

  get #isFollower(): boolean {
    return this.#elsewhere !== undefined;
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

  /**
   * Higher after each change of what is listed or denied, and after each start: not lower than the time in milliseconds, so that it also
   * grows when the file comes from a backup. On a replica that of the writer.
   */
  get version(): number {
    return this.#version.now;
  }

  /** Waits until the version is another. Rejects with the signal's reason. */
  changed(version: number, signal: AbortSignal): Promise<void> {
    return this.#version.changed(version, signal);
  }

  /**
   * Keeps the version on the disk, so that it is not lower after the next start, whatever the clock says then.
   *
   * @throws CalyxError `disk-full`, `unreadable` if it cannot be written
   */
  keepVersion(): Promise<void> {
    return this.#write(() => ({ told: this.version, tokens: this.stored() }));
  }

  /** All that are listed, with the hashes of their secrets: for the other stores of the cluster alone. */
  stored(): readonly StoredToken[] {
    return [...this.#tokens.values()];
  }

  /** On a replica, what the writer has said of those that are denied; undefined before it has. */
  get toldDenied(): SignedStatement | undefined {
    return this.#toldDenied;
  }

  /**
   * Takes over what the store that makes the tokens lists. It counts at once, also if the disk then fails: whoever listens is told of
   * each token that was good and is not any more, or is another one now.
   *
   * @returns what rejects with CalyxError `disk-full` or `unreadable` if it cannot be written
   * @throws CalyxError `corrupt` for an older version, or for something else under the same one; then nothing has changed
   */
  replace({ version, tokens, denied }: ToldTokens): { readonly written: Promise<void> } {
    const before = this.#tokens;
    if (version === this.version && formatTokens(tokens) === formatTokens([...before.values()]))
      return { written: Promise.resolve() };
    if (version <= this.version) throw outdated(version, this.version);
    this.#tokens = new Map(tokens.map((token) => [token.id, token]));
    this.#toldDenied = denied;
    const ended = endedBetween(before, this.#tokens, this.#expiry.toldUntil, this.#now());
    this.#version.reach(version);
    this.#tell(ended);
    this.#expiry.lookAgain();
    return { written: this.#write(() => ({ told: version, tokens, denied })) };
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
    this.#expiry.close();
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
      const told = this.#nextVersion();
      await writePrivateFile(this.#file, formatTokenFile({ told, tokens: [...tokens.values()] }));
      this.#tokens = tokens;
      this.#version.reach(told);
      const revoked = [...tokens.values()].filter(
        ({ id, revokedAt }) => revokedAt !== undefined && before.get(id)?.revokedAt === undefined,
      );
      this.#tell(revoked.map(({ id }) => id));
      this.#expiry.lookAgain();
      return value;
    });
    this.#writing = result.catch(() => undefined);
    return result;
  }

  #write(file: () => TokenFile): Promise<void> {
    const written = this.#writing.then(() => writePrivateFile(this.#file, formatTokenFile(file())));
    this.#writing = written.catch(() => undefined);
    return written;
  }

  #expired(ids: readonly string[]): void {
    if (!this.#isFollower) {
      this.#version.reach(this.#nextVersion());
      // If it fails, the next change keeps it, and mostly the clock does.
      this.keepVersion().catch(() => undefined);
    }
    this.#tell(ids);
  }

  #tell(ids: readonly string[]): void {
    if (ids.length > 0) tellAll(this.#listeners, ids);
  }

  #nextVersion(): number {
    return Math.max(this.version + 1, this.#now());
  }

  #now(): number {
    return Math.floor(this.#clock.now());
  }
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
