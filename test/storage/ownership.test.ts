import { spawn, type ChildProcess } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { acquireOwnership, askOwner } from '../../src/storage/files/ownership.js';
import { expectError } from '../support/expect-error.js';
import { testDirectory } from '../support/directories.js';

const program = fileURLToPath(new URL('../support/owner-process.js', import.meta.url));

interface Event {
  readonly event: string;
  readonly code?: string;
  readonly message?: string;
}

/** A process of its own that may own a directory. */
class Contender {
  readonly child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #ended: Promise<unknown>;

  constructor(directory: string, name: string) {
    this.child = spawn(process.execPath, [program, directory, name], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#ended = new Promise((resolve) => this.child.once('exit', resolve));
    if (this.child.stdout === null) throw new Error('no output');
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]();
    onTestFinished(() => this.kill());
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  tell(command: string): void {
    this.child.stdin?.write(`${command}\n`);
  }

  async event(): Promise<Event> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error('the process has ended');
    return JSON.parse(line.value) as Event;
  }

  async acquire(): Promise<Event> {
    this.tell('acquire');
    return this.event();
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.#ended;
  }
}

async function start(directory: string, name: string): Promise<Contender> {
  const contender = new Contender(directory, name);
  expect(await contender.event()).toEqual({ event: 'ready' });
  return contender;
}

async function owner(directory: string, name = 'the store'): Promise<Contender> {
  const contender = await start(directory, name);
  expect(await contender.acquire()).toEqual({ event: 'owner' });
  return contender;
}

const sockets = async (directory: string): Promise<string[]> =>
  (await readdir(directory)).filter((name) => name.includes('.sock'));

describe('one owner', () => {
  it('of 8 processes at once exactly one owns a directory, each time, and the others name it', async () => {
    const directory = join(testDirectory(), 'data');
    const contenders = await Promise.all(
      Array.from({ length: 8 }, (_, n) => start(directory, `number ${n}`)),
    );
    for (let round = 0; round < 5; round += 1) {
      const events = await Promise.all(contenders.map((contender) => contender.acquire()));
      const owners = events.flatMap(({ event }, n) => (event === 'owner' ? [n] : []));
      expect(owners, JSON.stringify(events)).toHaveLength(1);
      const [winner = -1] = owners;
      const description = `number ${winner} (process ${contenders[winner]?.pid})`;
      for (const [n, event] of events.entries()) {
        if (n === winner) continue;
        expect(event).toEqual({
          event: 'failed',
          code: 'busy',
          message: `${directory} is in use by ${description}`,
        });
      }
      expect(await sockets(directory)).toHaveLength(1);
      contenders[winner]?.tell('release');
      expect(await contenders[winner]?.event()).toEqual({ event: 'released' });
      expect(await sockets(directory)).toEqual([]);
    }
  });

  it('takes the place of an owner that was killed, at once', async () => {
    const directory = testDirectory();
    for (let round = 0; round < 3; round += 1) {
      const dead = await owner(directory);
      await dead.kill();
      expect(await sockets(directory)).toHaveLength(1);
      expect(await askOwner(directory, { operation: 'echo', input: 1 })).toBeUndefined();
    }
    const own = await acquireOwnership(directory, { description: 'this test' });
    await own.release();
    expect(await sockets(directory)).toEqual([]);
  });

  it('of 8 processes that find a dead owner exactly one takes its place', async () => {
    const directory = testDirectory();
    const contenders = await Promise.all(Array.from({ length: 8 }, (_, n) => start(directory, `number ${n}`)));
    await (await owner(directory)).kill();
    const events = await Promise.all(contenders.map((contender) => contender.acquire()));
    expect(events.filter(({ event }) => event === 'owner'), JSON.stringify(events)).toHaveLength(1);
    expect(events.filter(({ code }) => code === 'busy')).toHaveLength(7);
  }); // prettier-ignore

  it('works in directories whose path is too long for a socket', async () => {
    const directory = join(testDirectory(), 'd'.repeat(120), 'e'.repeat(120));
    const running = await owner(directory, 'far away');
    const acquire = () => acquireOwnership(directory, { description: 'x' });
    await expectError(acquire, 'busy', directory, `far away (process ${running.pid})`);
    expect(await askOwner(directory, { operation: 'echo', input: 1 })).toEqual({ output: { name: 'far away', input: 1 } }); // prettier-ignore
    await running.kill();
    await (await acquire()).release();
  });

  it('is proven by a socket, not by a file: other files and what a killed contender left do not matter', async () => {
    const directory = testDirectory();
    await writeFile(join(directory, '1-00.sock'), '');
    await writeFile(join(directory, '2-00.sock.new'), '');
    await writeFile(join(directory, 'notes.txt'), '');
    const own = await acquireOwnership(directory, { description: 'x' });
    expect((await readdir(directory)).filter((name) => /^[12]-/.test(name))).toEqual([]);
    await own.release();
    await own.release();
    expect(await readdir(directory)).toEqual(['notes.txt']);
  });

  it('names an owner that lives but does not answer', async () => {
    const directory = testDirectory();
    const stopped = await owner(directory);
    stopped.child.kill('SIGSTOP');
    const says = `process ${stopped.pid}, which does not answer`;
    await Promise.all([
      expectError(() => acquireOwnership(directory, { description: 'x' }), 'busy', says),
      expectError(() => askOwner(directory, { operation: 'echo', input: 1 }), 'timeout', says),
    ]);
  });

  it('fails where there can be no directory', async () => {
    const directory = testDirectory();
    await writeFile(join(directory, 'file'), '');
    await expect(acquireOwnership(join(directory, 'file'), { description: 'x' })).rejects.toThrow(
      'a file is there',
    );
  });
});

describe('askOwner', () => {
  it('has nobody to ask where nobody is, not even a directory', async () => {
    const directory = testDirectory();
    expect(await askOwner(directory, { operation: 'echo', input: 1 })).toBeUndefined();
    expect(await askOwner(join(directory, 'none'), { operation: 'echo', input: 1 })).toBeUndefined();
  });

  it('brings the answer, the error, and word of a bug', async () => {
    const directory = testDirectory();
    await owner(directory, 'the store');
    const ask = (operation: string, input: unknown = null) => askOwner(directory, { operation, input });
    const input = { text: 'é\n"x"', list: [1, null, true] };
    expect(await ask('echo', input)).toEqual({ output: { name: 'the store', input } });
    expect(await ask('nothing')).toEqual({ output: null });
    const refused = await expectError(() => ask('refuse'), 'over-budget', 'the store has no room');
    expect(refused.hint).toBe('remove a model');
    await expectError(() => ask('break'), 'internal', 'a bug');
    await expectError(() => ask('echo', 'x'.repeat(65_536)), 'usage', "'echo' is too long");
    expect(await ask('echo', 'x'.repeat(60_000))).toMatchObject({ output: { input: 'x'.repeat(60_000) } });
  });

  it('says busy where the owner answers no requests', async () => {
    const directory = testDirectory();
    const own = await acquireOwnership(directory, { description: 'calyx add (process 7)' });
    await expectError(
      () => askOwner(directory, { operation: 'x', input: null }),
      'busy',
      'calyx add (process 7)',
    );
    await own.release();
  });

  it('says unavailable when the owner dies with the request in hand', async () => {
    const directory = testDirectory();
    const dying = await owner(directory);
    const asked = expectError(() => askOwner(directory, { operation: 'hang', input: null }), 'unavailable', directory, 'went away'); // prettier-ignore
    expect(await dying.event()).toEqual({ event: 'asked' });
    await dying.kill();
    await asked;
  });

  it('says unavailable when the owner leaves with the request in hand', async () => {
    const directory = testDirectory();
    const leaving = await owner(directory);
    const asked = expectError(() => askOwner(directory, { operation: 'hang', input: null }), 'unavailable');
    expect(await leaving.event()).toEqual({ event: 'asked' });
    leaving.tell('release');
    await asked;
  });

  it('tells the owner when the one who asked has died', async () => {
    const directory = testDirectory();
    const running = await owner(directory);
    const asking = await start(directory, 'asking');
    asking.tell('ask-hang');
    expect(await running.event()).toEqual({ event: 'asked' });
    await asking.kill();
    expect(await running.event()).toEqual({ event: 'asker-gone' });
  });

  it('stops asking when its signal fires', async () => {
    const directory = testDirectory();
    const running = await owner(directory);
    const controller = new AbortController();
    const reason = new Error('enough');
    const asked = askOwner(directory, { operation: 'hang', input: null }, { signal: controller.signal });
    const outcome = expect(asked).rejects.toBe(reason);
    expect(await running.event()).toEqual({ event: 'asked' });
    controller.abort(reason);
    await outcome;
    expect(await running.event()).toEqual({ event: 'asker-gone' });
  });
});
