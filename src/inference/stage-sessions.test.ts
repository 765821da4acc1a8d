import { describe, expect, it } from 'vitest';
import { ManualClock } from '../../test/support/manual-clock.js';
import { expectError } from '../../test/support/expect-error.js';
import { ANYBODY, type Grant } from '../core/access.js';
import { CalyxError } from '../core/errors.js';
import type { StageInput, StageLink, StageOutput } from './stage-link.js';
import { StageSessions } from './stage-sessions.js';

const ID = 'session-0000-0001';
const IDLE_MS = 600_000;
const INPUT: StageInput = { kind: 'tokens', data: BigInt64Array.of(1n) };
const OUTPUT: StageOutput = { kind: 'logits', data: new Float32Array(1) };

function grant(tokenId: string): Grant {
  return { tokenId, name: `holder of ${tokenId}`, role: 'read', models: '*' };
}
const ROSE = grant('aaaaaaaaaaaa');
const LILY = grant('bbbbbbbbbbbb');

/** A stage that keeps what is open, and answers a forward with the number of times it was used. */
class FakeStage implements StageLink {
  readonly name = 'fake';
  readonly blocks = { start: 0, end: 4 };
  readonly embed = true;
  readonly head = true;
  readonly sessions = new Map<string, number>();
  /** What a forward or an open waits for. */
  gate: Promise<void> = Promise.resolve();
  /** Signals of the calls that came. */
  readonly signals: AbortSignal[] = [];

  async open(id: string, _maxTokens: number, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    if (signal !== undefined) this.signals.push(signal);
    await this.#wait(signal);
    this.sessions.set(id, 0);
  }

  async forward(
    id: string,
    _position: number,
    _input: StageInput,
    { signal }: { signal?: AbortSignal } = {},
  ): Promise<StageOutput> {
    if (signal !== undefined) this.signals.push(signal);
    await this.#wait(signal);
    const used = this.sessions.get(id);
    if (used === undefined) throw new CalyxError('not-found', `no session ${id} of the stage`);
    this.sessions.set(id, used + 1);
    return OUTPUT;
  }

  close(id: string): Promise<void> {
    this.sessions.delete(id);
    return Promise.resolve();
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason as Error));
      void this.gate.then(resolve);
    });
  }
}

function make(limits: { maxSessions?: number; maxTokens?: number } = {}): {
  stage: FakeStage;
  sessions: StageSessions;
  clock: ManualClock;
} {
  const stage = new FakeStage();
  const clock = new ManualClock();
  const options = { stage, maxSessions: 16, maxTokens: 1000, idleTimeoutMs: IDLE_MS, clock, ...limits };
  return { stage, sessions: new StageSessions(options), clock };
}

/** How a forward is refused, with what tells nothing of whether there is such a session. */
async function refusal(sessions: StageSessions, who: Grant, id = ID): Promise<CalyxError> {
  try {
    await sessions.forward(who, id, 0, INPUT);
  } catch (error) {
    if (error instanceof CalyxError) return error;
  }
  throw new Error('it was not refused');
}

describe('a session of a stage', () => {
  it.each([
    ['another token', LILY],
    ['nobody known', ANYBODY],
  ])('is as unknown as any other to %s', async (_who, other) => {
    const { sessions, stage } = make();
    const before = await refusal(sessions, other);
    await sessions.open(ROSE, ID, 10);
    const { code, message, hint } = await refusal(sessions, other);
    expect({ code, message, hint }).toEqual({
      code: 'not-found',
      message: before.message,
      hint: before.hint,
    });
    await sessions.close(other, ID);
    await sessions.forward(ROSE, ID, 0, INPUT);
    expect([...stage.sessions.values()]).toEqual([1]);
  });

  it('is not there for a token when it was opened by nobody known', async () => {
    const { sessions } = make();
    await sessions.open(ANYBODY, ID, 10);
    expect((await refusal(sessions, ROSE)).code).toBe('not-found');
    await sessions.forward(ANYBODY, ID, 0, INPUT);
  });

  it('has an id that another token may use for its own', async () => {
    const { sessions, stage } = make();
    await sessions.open(ROSE, ID, 10);
    await sessions.open(LILY, ID, 10);
    await sessions.forward(LILY, ID, 0, INPUT);
    expect([...stage.sessions.values()].sort()).toEqual([0, 1]);
    await sessions.close(LILY, ID);
    await sessions.forward(ROSE, ID, 0, INPUT);
    await expectError(() => sessions.open(ROSE, ID, 10), 'exists', ID);
  });

  it('is named to nobody as the stage knows it', async () => {
    const { sessions, stage } = make();
    await sessions.open(ROSE, ID, 10);
    const [inner] = stage.sessions.keys();
    stage.sessions.clear();
    const { code, message } = await refusal(sessions, ROSE);
    expect({ code, message }).toEqual({
      code: 'not-found',
      message: `the session ${ID} is not open on this stage`,
    });
    expect(message).not.toContain(inner);
    expect(sessions.count).toBe(0);
  });

  it('ends with its token, and so does what is under way for it', async () => {
    const { sessions, stage } = make();
    await sessions.open(ROSE, ID, 10);
    await sessions.open(LILY, ID, 10);
    stage.gate = new Promise(() => undefined);
    const calls = [
      sessions.forward(ROSE, ID, 0, INPUT),
      sessions.open(ROSE, 'session-0000-0002', 10),
      sessions.forward(LILY, ID, 0, INPUT),
    ];
    void calls[2]?.catch(() => undefined);
    const under = stage.signals.slice(-3);
    sessions.drop('aaaaaaaaaaaa');
    expect(under.map(({ aborted }) => aborted)).toEqual([true, true, false]);
    for (const call of calls.slice(0, 2))
      await expect(call).rejects.toMatchObject({ code: 'unauthenticated' });
    expect([stage.sessions.size, sessions.count]).toEqual([1, 1]);
    expect((await refusal(sessions, ROSE)).code).toBe('not-found');
  });

  it('does not stay open in the stage when its token ends while it is being opened by one that does not listen', async () => {
    const { sessions, stage } = make();
    let answer: () => void = () => undefined;
    stage.open = (id) => new Promise((resolve) => (answer = () => resolve(void stage.sessions.set(id, 0))));
    const opening = sessions.open(ROSE, ID, 10);
    sessions.drop('aaaaaaaaaaaa');
    answer();
    await expect(opening).rejects.toMatchObject({ code: 'not-found' });
    expect(stage.sessions.size).toBe(0);
  });

  it('that could not be opened, or whose opener left, takes no place', async () => {
    const { sessions, stage } = make();
    stage.gate = new Promise(() => undefined);
    const controller = new AbortController();
    const opening = sessions.open(ROSE, ID, 10, { signal: controller.signal });
    controller.abort(new Error('gone'));
    await expect(opening).rejects.toThrow('gone');
    expect(sessions.count).toBe(0);
  });

  it('ends what its opener waits for when it is closed', async () => {
    const { sessions, stage } = make();
    await sessions.open(ROSE, ID, 10);
    stage.gate = new Promise(() => undefined);
    const call = sessions.forward(ROSE, ID, 0, INPUT);
    await sessions.close(ROSE, ID);
    await expect(call).rejects.toMatchObject({ code: 'not-found' });
    expect(stage.sessions.size).toBe(0);
  });
});

describe('the share of a token', () => {
  const open = (sessions: StageSessions, who: Grant, from: number, to: number): Promise<unknown> =>
    Promise.all(Array.from({ length: to - from }, (_, i) => sessions.open(who, `session-${from + i}`, 10)));

  it('is half of the places, and of those that are not used any more none', async () => {
    const { sessions, clock } = make();
    await open(sessions, ROSE, 0, 8);
    await expectError(() => sessions.open(ROSE, ID, 10), 'busy', 'holder of aaaaaaaaaaaa', '8 sessions');
    await open(sessions, LILY, 0, 8);
    await sessions.close(ROSE, 'session-0');
    await sessions.open(ROSE, ID, 10);
    clock.advance(IDLE_MS + 1);
    await open(sessions, ROSE, 0, 8);
    expect(sessions.count).toBe(8);
  });

  it('is at least one place', async () => {
    const { sessions } = make({ maxSessions: 1 });
    await sessions.open(ROSE, ID, 10);
    await expectError(() => sessions.open(ROSE, 'session-0000-0002', 10), 'busy');
  });

  it('is half of the memory for several sessions, and what there is for one', async () => {
    const { sessions } = make();
    await sessions.open(ROSE, 'session-0', 900);
    await expectError(() => sessions.open(ROSE, 'session-1', 1), 'busy', '901');
    await sessions.open(LILY, 'session-0', 400);
    await sessions.open(LILY, 'session-1', 100);
    await expectError(() => sessions.open(LILY, 'session-2', 1), 'busy', '501');
  });

  it('is everything where nobody is asked for a token', async () => {
    const { sessions } = make();
    await open(sessions, ANYBODY, 0, 16);
    expect(sessions.count).toBe(16);
  });
});
