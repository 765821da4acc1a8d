import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyx, startCalyx } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { FakeHub, type HubRequest } from '../support/fake-hub.js';
import { writeRandomModel } from '../support/models.js';
import { sha256sum } from '../support/outside-tools.js';
import { seeded } from '../support/seeded.js';

const scratch = suiteDirectory();
const KILLS = 50;
const MIB = 1024 * 1024;
/** What `calyx add` asks for at once. */
const RANGE = 8 * MIB;
const STREAMS = 6;
const REPO = 'org/random';
const data = join(scratch, 'data');
const staging = join(data, '.calyx', 'staging', 'models--org--random');

let hub: FakeHub;
let total = 0;
beforeAll(async () => {
  hub = await FakeHub.start();
  await writeRandomModel(join(scratch, 'model'), { blocks: 4, matrixBytes: 4 * MIB, shards: 3, seed: 7 });
  hub.publish(REPO, join(scratch, 'model'));
  total = hub.files(REPO).reduce((sum, { size }) => sum + size, 0);
  // So that there is a middle to be killed in.
  hub.bytesPerSecond = 60e6;
});
afterAll(() => hub.stop());

/** Files that were verified: their blobs are in the staging area, by their SHA-256. */
function verifiedFiles(): string[] {
  const blobs = join(staging, 'blobs');
  const staged = existsSync(blobs) ? readdirSync(blobs) : [];
  const whole = lines().flatMap((line) => (line['whole'] === true ? [String(line['path'])] : []));
  return hub
    .files(REPO)
    .flatMap(({ path, sha256 }) => (staged.includes(sha256) && whole.includes(path) ? [path] : []));
}

/** Ranges that had arrived, as `PATH bytes=A-B`. */
function arrived(): Set<string> {
  return new Set(
    lines().flatMap(({ path, offset, length }) =>
      typeof offset === 'number' ? [`${String(path)} bytes=${offset}-${offset + Number(length) - 1}`] : [],
    ),
  );
}

function lines(): Record<string, unknown>[] {
  const journal = join(staging, 'incoming.jsonl');
  if (!existsSync(journal)) return [];
  return readFileSync(journal, 'utf8')
    .split('\n')
    .flatMap((line) => {
      try {
        return [JSON.parse(line) as Record<string, unknown>];
      } catch {
        // Empty, or cut off by a kill.
        return [];
      }
    });
}

const isShown = (): boolean => existsSync(join(data, '.calyx', 'refs', 'models--org--random', 'main.json'));

describe('kill -9 of add from a Hub', () => {
  it(`at ${KILLS} points: the next run moves nothing that had arrived, and all is right at the end`, async () => {
    const random = seeded(50_005);
    const env = { HF_ENDPOINT: hub.url, HF_TOKEN: '', HF_HOME: scratch, no_proxy: '*', NO_PROXY: '*' };
    let kills = 0;
    let killedInTheMiddle = 0;
    let finished = false;
    let slowest = 0;
    let sentForOne = 0;
    let killsForOne = 0;
    // To the end, after the last kill too.
    while (kills < KILLS || !finished) {
      const [verified, ranges] = [verifiedFiles(), arrived()];
      hub.requests.length = 0;
      const sentBefore = hub.bytesSent;
      const startedAt = performance.now();
      const running = startCalyx(['add', REPO, '--data', data], env);
      const timer =
        kills < KILLS
          ? setTimeout(() => running.child.kill('SIGKILL'), 150 + random() * Math.max(slowest, 900))
          : undefined;
      const { signal, code, stderr } = await running.ended;
      clearTimeout(timer);
      sentForOne += hub.bytesSent - sentBefore;
      const asked = hub.requests.filter(({ path, range }) => path !== undefined && range !== undefined);
      const nameOf = ({ path, range }: HubRequest): string => `${path ?? ''} ${range ?? ''}`;
      expect(asked.filter(({ path }) => verified.includes(path ?? '')).map(nameOf)).toEqual([]);
      expect(asked.map(nameOf).filter((name) => ranges.has(name))).toEqual([]);
      if (signal === 'SIGKILL') {
        kills += 1;
        killsForOne += 1;
        if (ranges.size > 0 && !isShown()) killedInTheMiddle += 1;
      } else {
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
        slowest = Math.max(slowest, performance.now() - startedAt);
      }
      finished = isShown();
      if (!finished) continue;
      // What was under way is all that can be lost.
      expect(sentForOne).toBeLessThanOrEqual(total + killsForOne * STREAMS * RANGE);
      [sentForOne, killsForOne] = [0, 0];
      const blobs = join(data, 'models--org--random', 'blobs');
      const sums = await sha256sum(readdirSync(blobs).map((name) => join(blobs, name)));
      expect(Object.values(sums).sort()).toEqual(
        hub
          .files(REPO)
          .map(({ sha256 }) => sha256)
          .sort(),
      );
      // A kill after the ref had moved may leave the staging area, which goes with the model.
      expect((await calyx('remove', REPO, '--data', data)).code).toBe(0);
    }
    expect(killedInTheMiddle).toBeGreaterThan(KILLS / 5);
    expect(existsSync(staging)).toBe(false);
  }, 300_000);
});
