import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyx, startCalyx } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { S3Proxy, type S3Request } from '../support/s3-proxy.js';
import { S3Server, noS3Server } from '../support/s3-server.js';
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

interface Put {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
}

let server: S3Server;
let proxy: S3Proxy;
let files: readonly Put[] = [];
let total = 0;
beforeAll(async () => {
  if (noS3Server !== undefined) return;
  server = await S3Server.start();
  proxy = await S3Proxy.start(server.port);
  await server.makeBucket('models');
  const model = join(scratch, 'model');
  await writeRandomModel(model, { blocks: 8, matrixBytes: 4 * MIB, shards: 3, seed: 7 });
  const names = readdirSync(model).sort();
  const sums = await sha256sum(names.map((name) => join(model, name)));
  files = names.map((path) => ({
    path,
    size: statSync(join(model, path)).size,
    sha256: sums[join(model, path)] ?? '',
  }));
  // Of one shard the storage knows the checksum, of the others only the ETag.
  for (const name of names)
    await server.putFile('models', `random/${name}`, join(model, name), { checksum: name.includes('00001') });
  total = files.reduce((sum, { size }) => sum + size, 0);
  // So that there is a middle to be killed in.
  proxy.bytesPerSecond = 60e6;
});
afterAll(async () => {
  if (noS3Server !== undefined) return;
  await proxy.stop();
  await server.stop();
});

/** Files that were verified: their blobs are in the staging area, by their SHA-256. */
function verifiedFiles(): string[] {
  const blobs = join(staging, 'blobs');
  const staged = existsSync(blobs) ? readdirSync(blobs) : [];
  const whole = lines().flatMap((line) => (line['whole'] === true ? [String(line['path'])] : []));
  return files.flatMap(({ path, sha256 }) => (staged.includes(sha256) && whole.includes(path) ? [path] : []));
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

/** Of `PATH bytes=A-B`. */
function lengthOf(name: string): number {
  const [, first, last] = /bytes=(\d+)-(\d+)$/.exec(name) ?? [];
  return Number(last) - Number(first) + 1;
}

describe.skipIf(noS3Server !== undefined)(`kill -9 of add from S3 ${noS3Server ?? ''}`, () => {
  it(`at ${KILLS} points: the next run moves nothing that had arrived, and all is right at the end`, async () => {
    const random = seeded(50_053);
    const env = server.env(proxy.url);
    let kills = 0;
    let killedInTheMiddle = 0;
    let finished = false;
    let sentForOne = 0;
    let killsForOne = 0;
    // To the end, after the last kill too.
    while (kills < KILLS || !finished) {
      const [verified, ranges] = [verifiedFiles(), arrived()];
      proxy.requests.length = 0;
      const sentBefore = proxy.bytesSent;
      const running = startCalyx(['add', 's3://models/random', '--name', REPO, '--data', data], env);
      // By what has passed and not by the clock: at any byte that is left, or some time after the last one.
      const left = total - [...ranges].reduce((sum, name) => sum + lengthOf(name), 0);
      const point = random() * left * 1.2;
      const later = random() * 400;
      let timer: NodeJS.Timeout | undefined;
      proxy.onBytes = () => {
        const sent = proxy.bytesSent - sentBefore;
        if (kills >= KILLS || sent < Math.min(point, left) || timer !== undefined) return;
        timer = setTimeout(() => running.child.kill('SIGKILL'), point < left ? 0 : later);
      };
      // Nothing is left to move: only the clock remains.
      if (left === 0 && kills < KILLS)
        timer = setTimeout(() => running.child.kill('SIGKILL'), 600 + 4 * later);
      const { signal, code, stderr } = await running.ended;
      clearTimeout(timer);
      sentForOne += proxy.bytesSent - sentBefore;
      const asked = proxy.requests.filter(({ method, range }) => method === 'GET' && range !== undefined);
      const pathOf = ({ key }: S3Request): string => key.slice('random/'.length);
      const nameOf = (request: S3Request): string => `${pathOf(request)} ${request.range ?? ''}`;
      expect(asked.filter((request) => verified.includes(pathOf(request))).map(nameOf)).toEqual([]);
      expect(asked.map(nameOf).filter((name) => ranges.has(name))).toEqual([]);
      if (signal === 'SIGKILL') {
        kills += 1;
        killsForOne += 1;
        if (ranges.size > 0 && !isShown()) killedInTheMiddle += 1;
      } else {
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      }
      finished = isShown();
      if (!finished) continue;
      // What was under way is all that can be lost.
      expect(sentForOne).toBeLessThanOrEqual(total + killsForOne * STREAMS * RANGE);
      [sentForOne, killsForOne] = [0, 0];
      const blobs = join(data, 'models--org--random', 'blobs');
      const sums = await sha256sum(readdirSync(blobs).map((name) => join(blobs, name)));
      expect(Object.values(sums).sort()).toEqual(files.map(({ sha256 }) => sha256).sort());
      // A kill after the ref had moved may leave the staging area, which goes with the model.
      expect((await calyx('remove', REPO, '--data', data)).code).toBe(0);
    }
    expect(killedInTheMiddle).toBeGreaterThan(KILLS / 5);
    expect(existsSync(staging)).toBe(false);
  }, 300_000);
});
