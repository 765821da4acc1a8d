import { readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { fetchModel } from '../../src/app/fetch/fetch-model.js';
import { calyxJson, startCalyx } from '../support/cli.js';
import { writeRandomModel } from '../support/models.js';
import { noPython, sha256sum, type PythonTensor } from '../support/outside-tools.js';
import { startProxy } from '../support/proxy.js';
import { egress, startStore, type RunningStore } from '../support/running-store.js';
import { suiteDirectory } from '../support/directories.js';
import { seeded } from '../support/seeded.js';
import { apparentBytes, expectSlice, tensorsOf } from '../support/slices.js';

const scratch = suiteDirectory();
const KILLS = 50;
const BLOCKS = 10;
const MIB = 1024 * 1024;

let store: RunningStore;
let source: Record<string, PythonTensor>;

beforeAll(async () => {
  await writeRandomModel(join(scratch, 'model'), {
    blocks: BLOCKS,
    matrixBytes: 4.5 * MIB,
    shards: 3,
    seed: 2,
  });
  await calyxJson('add', join(scratch, 'model'), '--name', 'org/random', '--data', join(scratch, 'data'));
  store = await startStore(join(scratch, 'data'));
  if (noPython === undefined) source = await tensorsOf(join(scratch, 'model'));
  return async () => {
    await store.stop();
  };
});

interface Index {
  readonly weight_map: Record<string, string>;
}

/** What was looked at already and has not changed since. */
const seen = new Map<string, string>();

/** Every part that is shown has the right bytes, and the index lists nothing else. */
async function expectNothingWrong(into: string, digests: Readonly<Record<string, string>>): Promise<void> {
  const names = await readdir(into).catch(() => [] as string[]);
  const parts = names.filter((name) => name.endsWith('.safetensors'));
  const changed: string[] = [];
  for (const name of parts) {
    const { ino, mtimeNs, size } = await stat(join(into, name), { bigint: true });
    const identity = `${ino} ${mtimeNs} ${size}`;
    if (seen.get(join(into, name)) !== identity) changed.push(name);
    seen.set(join(into, name), identity);
  }
  const found = await sha256sum(changed.map((name) => join(into, name)));
  for (const name of changed) expect(found[join(into, name)], name).toBe(digests[name]);
  if (!names.includes('model.safetensors.index.json')) return;
  const index = JSON.parse(await readFile(join(into, 'model.safetensors.index.json'), 'utf8')) as Index;
  for (const file of Object.values(index.weight_map)) expect(parts).toContain(file);
}

describe.skipIf(noPython)('kill -9 of fetch', () => {
  it(`at ${KILLS} random points: nothing wrong is ever shown, and verified bytes are not moved again`, async () => {
    const random = seeded(20_261);
    const whole = join(scratch, 'whole');
    const args = ['--blocks', `0:${BLOCKS}`, '--embed', '--head'];
    await calyxJson('fetch', 'org/random', ...args, '--store', store.url, '--into', whole);
    const all = { blocks: Array.from({ length: BLOCKS }, (_, block) => block), embed: true, head: true };
    await expectSlice(whole, source, all);
    const parts = (await readdir(whole)).filter((name) => name.endsWith('.safetensors'));
    const sums = await sha256sum(parts.map((name) => join(whole, name)));
    const digests = Object.fromEntries(parts.map((name) => [name, sums[join(whole, name)] ?? '']));

    let kills = 0;
    let inTheMiddle = 0;
    let finished = 0;
    for (let slice = 0; kills < KILLS; slice += 1) {
      const into = join(scratch, `killed-${slice}`);
      // Some begin on top of a smaller slice, whose index must stay true.
      if (slice % 2 === 1)
        await calyxJson('fetch', 'org/random', '--blocks', '0:3', '--store', store.url, '--into', into);
      const plan = async (): Promise<number> => {
        const { bytesFetched } = await fetchModel({
          spec: { model: { org: 'org', name: 'random' }, revision: 'main' },
          stores: { urls: [new URL(store.url)], credential: undefined },
          into,
          add: () => ['embed', ...all.blocks, 'head'],
          dryRun: true,
          signal: AbortSignal.timeout(60_000),
        });
        return bytesFetched;
      };
      let missing = await plan();
      const budget = ['--budget', '200MiB'];
      for (let done = false; !done;) {
        // Early and late: at any time up to 64 MiB are on their way and not verified yet.
        const killAt = random() * (kills % 3 === 0 ? 110 : 25) * MIB;
        const before = await egress(store.url);
        let kill = (): void => undefined;
        const proxy = await startProxy(store.port, { onBytes: (total) => total >= killAt && kill() });
        const running = startCalyx([
          ...['fetch', 'org/random', ...args, ...budget, '--store', proxy.url, '--into', into, '--json'],
        ]);
        if (kills < KILLS) kill = () => running.child.kill('SIGKILL');
        const ended = await running.ended;
        await proxy.close();
        await expectNothingWrong(into, digests);
        const moved = (await egress(store.url)) - before;
        // Only what was missing is asked for; a store may have sent more than the proxy passed on.
        expect(moved).toBeLessThanOrEqual(missing);
        if (ended.signal === 'SIGKILL') {
          kills += 1;
          if (moved > 0) inTheMiddle += 1;
          const left = await plan();
          expect(left).toBeLessThanOrEqual(missing);
          missing = left;
        } else {
          expect(ended, ended.stderr).toMatchObject({ code: 0, stderr: '' });
          const result = JSON.parse(ended.stdout) as Record<string, unknown>;
          // Exactly what had not been verified before the last kill came now.
          expect(result['bytesFetched']).toBe(missing);
          expect(moved).toBe(missing);
          expect(await plan()).toBe(0);
          await expectSlice(into, source, all);
          const kinds = (await readdir(into, { recursive: true })).filter((name) => name.includes('.tmp'));
          expect(kinds).toEqual([]);
          expect(await apparentBytes(into)).toBeLessThanOrEqual(Number(result['budgetNeeded']));
          finished += 1;
          done = true;
        }
      }
      await rm(into, { recursive: true });
    }
    expect(finished).toBeGreaterThan(1);
    expect(inTheMiddle).toBeGreaterThan(KILLS / 2);
  }, 300_000);
});
