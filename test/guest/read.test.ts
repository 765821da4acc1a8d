import { statSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  calyxIn,
  mount,
  NFS_VERSIONS,
  pythonCommand,
  pythonScript,
  startGuestStore,
} from '../support/guest/mounted-store.js';
import { calyxJson } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import {
  expectedViews,
  sha256Of,
  type ExpectedViews,
  type ViewedModel,
} from '../support/guest/expected-views.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { createNetwork, type GuestNetwork } from '../support/guest/network.js';
import { MODELS } from '../support/models.js';
import { noPython } from '../support/outside-tools.js';
import { seeded } from '../support/seeded.js';
import { expectSlice, tensorsOf } from '../support/slices.js';

const root = suiteDirectory();

/** Slices that no listing shows, as `calyx fetch` is asked for them. */
const UNLISTED: Readonly<Record<string, readonly string[]>> = {
  '3-7': ['--blocks', '3:7'],
  '0-4+embed': ['--blocks', '0:4', '--embed'],
  '5-12+head': ['--blocks', '5:12', '--head'],
};

describe.skipIf(guestUnavailable() !== undefined)('a mounted store', () => {
  let network: GuestNetwork;
  let guest: Guest;
  let models: ViewedModel[];
  let views: ExpectedViews;
  let listed: string[];

  beforeAll(async () => {
    const data = join(root, 'data');
    const revisions: string[] = [];
    for (const { name, path } of MODELS)
      revisions.push(
        (await calyxJson('add', path, '--name', `acme/${name}`, '--data', data))['revision'] as string,
      );
    network = await createNetwork({ guests: 1 });
    const [started, store] = await Promise.all([startGuest(network), startGuestStore(network, data)]);
    guest = started;
    models = await Promise.all(
      MODELS.map(async ({ name, path, blocks }, index) => {
        const whole = ['--blocks', `0:${String(blocks)}`, '--embed', '--head'];
        const wanted = { [`0-${String(blocks)}+embed+head`]: whole, ...(blocks === 12 ? UNLISTED : {}) };
        const fetched: Record<string, string> = {};
        for (const [slice, parts] of Object.entries(wanted)) {
          const into = join(root, name, slice);
          const args = ['fetch', `acme/${name}`, ...parts, '--into', into, '--store', store.url];
          expect(await calyxIn(network, args).ended).toMatchObject({ code: 0 });
          fetched[slice] = into;
        }
        return { name: `acme/${name}`, revision: revisions[index] ?? '', blocks, source: path, fetched };
      }),
    );
    views = expectedViews(models);
    const all = [...views.files.keys(), ...views.json.keys()];
    listed = all.filter((path) => !Object.keys(UNLISTED).some((slice) => path.includes(`/${slice}/`))).sort();
    await Promise.all(NFS_VERSIONS.map((version) => mount(guest, version)));
  });
  afterAll(() => network.close());

  it.skipIf(noPython !== undefined)(
    'is compared with slices that have the tensors of their models',
    async () => {
      for (const { blocks, source, fetched } of models) {
        const whole = {
          blocks: Array.from({ length: blocks }, (_, block) => block),
          embed: true,
          head: true,
        };
        await expectSlice(fetched[`0-${String(blocks)}+embed+head`] ?? '', await tensorsOf(source), whole);
      }
    },
  );

  describe.each(NFS_VERSIONS)('with NFS %s', (version) => {
    const at = `/mnt/${version}`;

    it('gives the bytes of every file by read(), O_DIRECT, mmap and in pieces at odd offsets', async () => {
      const random = seeded(7);
      const pieces = (size: number): [number, number][] =>
        Array.from({ length: 8 }, () => {
          const offset = Math.floor((random() * size) / 2) * 2 + 1;
          return [Math.min(offset, size), 1 + Math.floor(random() * 70_000)];
        });
      const plan = new Map([...views.files].map(([path, { byteLength }]) => [path, pieces(byteLength)]));
      const planFile = join(guest.directory, `plan-${version}.json`);
      await writeFile(
        planFile,
        JSON.stringify(Object.fromEntries([...plan].map(([path, each]) => [`${at}/${path}`, each]))),
      );
      const expected = [...views.files].map(([path, content]) => {
        const whole = sha256Of(content);
        const parts = (plan.get(path) ?? []).map(([from, length]) => content.subarray(from, from + length));
        return [`${at}/${path}`, { direct: whole, mmap: whole, read: whole, pieces: sha256Of(...parts) }];
      });
      expect(JSON.parse(await guest.sh(pythonScript('digest_files.py', planFile)))).toEqual(
        Object.fromEntries(expected),
      );
    });

    it('shows in the slice of each block what the slice is', async () => {
      const paths = [...views.json.keys()];
      const script = `import sys; [print(open(path).read().replace(chr(10), '')) for path in sys.argv[1:]]`;
      const found = await guest.sh(`cd ${at}; ${pythonCommand('-c', script, ...paths)}`);
      const documents = found
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
      expect(documents).toHaveLength(paths.length);
      for (const [index, path] of paths.entries())
        expect(documents[index], path).toMatchObject(views.json.get(path) as object);
      const weightMaps = documents.filter(
        (each) => (each as { weight_map?: unknown }).weight_map !== undefined,
      );
      expect(weightMaps.map((each) => (each as { weight_map: unknown }).weight_map)).toEqual(
        [...views.json.values()].flatMap((each) => (each as { weight_map?: unknown }).weight_map ?? []),
      );
    });

    it('lists every file, and no other', async () => {
      const found = (await guest.sh(`cd ${at} && find . -type f`)).trimEnd().split('\n');
      expect(found.map((path) => path.slice(2)).sort()).toEqual(listed);
      expect(await guest.sh(`find ${at} -type f | wc -l`)).toBe(`${String(listed.length)}\n`);
      const long = await guest.sh(`ls -lR ${at}`);
      expect(long.split('\n').filter((line) => line.startsWith('-r--r--r--'))).toHaveLength(listed.length);
      expect(long).not.toContain('?');
    });

    it('tells sizes and modes', async () => {
      const files = [...views.files.keys()];
      const stats = await guest.sh(`cd ${at} && stat --format '%s %A %U %n' ${files.join(' ')}`);
      expect(stats.trimEnd().split('\n')).toEqual(
        files.map((path) => `${String(views.files.get(path)?.byteLength)} -r--r--r-- root ${path}`),
      );
      expect(await guest.sh(`stat --format '%A %U' ${at} ${at}/slices/acme/qwen3/1-4`)).toBe(
        'dr-xr-xr-x root\ndr-xr-xr-x root\n',
      );
    });

    it('tells by df what is published, and that there is no room', async () => {
      const [size, used, available] = (await guest.sh(`df -B1 --output=size,used,avail ${at} | tail -1`))
        .trim()
        .split(/\s+/)
        .map(Number);
      const published = [...views.files].filter(([path]) => /^models\/[^@]*$/.test(path));
      const bytes = published.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
      expect(available).toBe(0);
      expect(used).toBe(size);
      // In whole blocks of the file system.
      expect(size).toBeGreaterThan(bytes * 0.95);
      expect(size).toBeLessThan(bytes + 1024 * 1024 * 2);
    });

    it('has no slices of nonsense ranges, nor other names', async () => {
      const slices = ['0-99', '3-3', '4-2', '03-4', '1-2+head+embed', '1-2+tail', '-', '..x', '1-2 '];
      const others = ['models/acme/none', 'models/acme/tiny-calyx@main', 'models/none', 'none', 'hub/none'];
      const paths = [...slices.map((slice) => `slices/acme/tiny-calyx/${slice}`), ...others];
      const { stdout, stderr } = await guest.run(
        `cd ${at}; stat ${paths.map((path) => `'${path}'`).join(' ')}`,
      );
      expect(stdout).toBe('');
      expect(stderr.match(/No such file or directory/g)).toHaveLength(paths.length);
    });

    it('is read by who is not root', async () => {
      const script = `import os, sys; os.setgid(1000); os.setuid(1000); sys.stdout.write(str(len(open(sys.argv[1], 'rb').read())))`;
      expect(await guest.sh(pythonCommand('-c', script, `${at}/models/acme/tiny-calyx/config.json`))).toBe(
        String(statSync(join(models[0]?.source ?? '', 'config.json')).size),
      );
    });
  });
});
