import { randomUUID } from 'node:crypto';
import type { Grant } from '../core/access.js';
import { systemClock, type Clock } from '../core/clock.js';
import { CalyxError, isCalyxError } from '../core/errors.js';
import { plural } from '../core/units.js';
import { linkedController } from './deadline.js';
import type { CallOptions, StageInput, StageLink, StageOutput } from './stage-link.js';

/** Options of {@link StageSessions}. */
export interface StageSessionsOptions {
  readonly stage: StageLink;
  /** Sessions that the stage takes, of all tokens together. */
  readonly maxSessions: number;
  /** Positions of all sessions for which the stage has memory. */
  readonly maxTokens: number;
  /** As long as the stage keeps a session that nobody uses. */
  readonly idleTimeoutMs: number;
  /** @default systemClock */
  readonly clock?: Clock;
}

/** What one token may have of the places and the memory of a stage: so that another one finds some. */
export const TOKEN_SHARE = 1 / 2;

/** Of everybody where nobody is asked who comes. */
const NO_TOKEN = '';

interface Session {
  /** How the stage knows it: made here, so that no opener can name the session of another one. */
  readonly inner: string;
  readonly maxTokens: number;
  /** What is under way for it. */
  readonly calls: Set<AbortController>;
  usedAt: number;
}

/**
 * Which token has opened which sessions of a stage. A session is there only for whoever shows the token that opened it: for others
 * one with its id is as unknown as any other, and may be opened beside it.
 */
export class StageSessions {
  readonly #options: StageSessionsOptions;
  readonly #stage: StageLink;
  readonly #clock: Clock;
  readonly #owners = new Map<string, Map<string, Session>>();

  constructor(options: StageSessionsOptions) {
    this.#options = options;
    this.#stage = options.stage;
    this.#clock = options.clock ?? systemClock;
  }

  /** Sessions that are open or being opened. */
  get count(): number {
    return [...this.#owners.values()].reduce((sum, { size }) => sum + size, 0);
  }

  /**
   * As {@link StageLink.open}, for the holder of a grant.
   *
   * @throws CalyxError as the stage does; `busy` also if the token has its share
   */
  async open(grant: Grant, id: string, maxTokens: number, { signal }: CallOptions = {}): Promise<void> {
    this.#expire();
    const owner = grant.tokenId ?? NO_TOKEN;
    const own = this.#owners.get(owner) ?? new Map<string, Session>();
    if (own.has(id)) throw new CalyxError('exists', `the session ${id} is already open`);
    // Nobody can be told apart where nobody is asked for a token.
    if (owner !== NO_TOKEN) this.#checkShare(grant, own, maxTokens);
    const session = { inner: randomUUID(), maxTokens, calls: new Set<AbortController>(), usedAt: 0 };
    this.#owners.set(owner, own.set(id, session));
    try {
      await this.#during(session, signal, (either) =>
        this.#stage.open(session.inner, maxTokens, { signal: either }),
      );
      if (this.#find(owner, id) !== session) throw notOpen(id, this.#options.idleTimeoutMs);
    } catch (error) {
      // The stage may have opened it after all, when nobody waited for it any more.
      this.#forget(owner, id, session);
      throw error;
    }
  }

  /** As {@link StageLink.forward}; `not-found` also for what is not open for this grant. */
  async forward(
    grant: Grant,
    id: string,
    position: number,
    input: StageInput,
    { signal }: CallOptions = {},
  ): Promise<StageOutput> {
    const owner = grant.tokenId ?? NO_TOKEN;
    const session = this.#find(owner, id);
    if (session === undefined) throw notOpen(id, this.#options.idleTimeoutMs);
    try {
      return await this.#during(session, signal, (either) =>
        this.#stage.forward(session.inner, position, input, { signal: either }),
      );
    } catch (error) {
      if (!isCalyxError(error, 'not-found')) throw error;
      this.#forget(owner, id, session);
      throw notOpen(id, this.#options.idleTimeoutMs);
    }
  }

  /** As {@link StageLink.close}; what is under way for it ends, and what is not open for this grant stays as it is. */
  async close(grant: Grant, id: string, options: CallOptions = {}): Promise<void> {
    const owner = grant.tokenId ?? NO_TOKEN;
    const session = this.#find(owner, id);
    if (session === undefined) return;
    this.#owners.get(owner)?.delete(id);
    this.#dropOwner(owner);
    this.#abort(session, notOpen(id, this.#options.idleTimeoutMs));
    await this.#stage.close(session.inner, options);
  }

  /** Closes all sessions of a token, and ends what is under way for them. */
  drop(tokenId: string): void {
    const own = this.#owners.get(tokenId);
    this.#owners.delete(tokenId);
    for (const session of own?.values() ?? []) {
      this.#abort(session, new CalyxError('unauthenticated', 'the token was revoked or has expired'));
      this.#closeInStage(session);
    }
  }

  #checkShare(grant: Grant, own: ReadonlyMap<string, Session>, maxTokens: number): void {
    const places = Math.max(1, Math.floor(this.#options.maxSessions * TOKEN_SHARE));
    const hint = 'try again when one has ended, or serve these blocks on another node too';
    if (own.size >= places)
      throw new CalyxError(
        'busy',
        `the token '${grant.name}' has ${plural(own.size, 'session')} open, the most this stage takes of one`,
        { hint },
      );
    const room = Math.floor(this.#options.maxTokens * TOKEN_SHARE);
    const held = [...own.values()].reduce((sum, session) => sum + session.maxTokens, 0);
    // Alone it may be longer: how long a session must be is the model's and the prompt's matter.
    if (own.size > 0 && held + maxTokens > room)
      throw new CalyxError(
        'busy',
        `with ${maxTokens} positions more the sessions of the token '${grant.name}' have ${held + maxTokens}, and this stage keeps ${room} for one with several`,
        { hint },
      );
  }

  async #during<T>(
    session: Session,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { controller, detach } = linkedController(signal);
    session.calls.add(controller);
    try {
      return await work(controller.signal);
    } finally {
      session.calls.delete(controller);
      session.usedAt = this.#clock.now();
      detach();
    }
  }

  #find(owner: string, id: string): Session | undefined {
    return this.#owners.get(owner)?.get(id);
  }

  #forget(owner: string, id: string, session: Session): void {
    if (this.#find(owner, id) === session) this.#owners.get(owner)?.delete(id);
    this.#dropOwner(owner);
    this.#closeInStage(session);
  }

  #dropOwner(owner: string): void {
    if (this.#owners.get(owner)?.size === 0) this.#owners.delete(owner);
  }

  #abort(session: Session, reason: CalyxError): void {
    for (const call of session.calls) call.abort(reason);
  }

  /** A stage that cannot close a session any more has lost all of them. */
  #closeInStage(session: Session): void {
    this.#stage.close(session.inner).catch(() => undefined);
  }

  /** The stage closes by itself what nobody uses; that must not count any more either. */
  #expire(): void {
    const oldest = this.#clock.now() - this.#options.idleTimeoutMs;
    for (const [owner, own] of this.#owners)
      for (const [id, session] of own)
        if (session.calls.size === 0 && session.usedAt < oldest) this.#forget(owner, id, session);
  }
}

function notOpen(id: string, idleTimeoutMs: number): CalyxError {
  return new CalyxError('not-found', `the session ${id.slice(0, 64)} is not open on this stage`, {
    hint: `it was closed, or nobody used it for ${idleTimeoutMs / 1000} s; start again`,
  });
}
