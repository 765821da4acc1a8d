import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { calyx, type Running } from '../support/cli.js';
import { ROOT, suiteDirectory } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { createNetwork, HOST_ADDRESS, type GuestNetwork } from '../support/guest/network.js';
import { writeRandomModel } from '../support/models.js';

const COMMAND = `node ${join(ROOT, 'bin/calyx.mjs')}`;
const ADVISE = `${COMMAND} advise --nfs ${HOST_ADDRESS}`;
/** What version is chosen by figures that differ less. */
const NOISE = 0.04;
/** Mounting in a guest takes long when the machine is busy. */
const LONG = { timeoutMs: 240_000 };

interface Result {
  readonly trial: { readonly version: string; readonly by: string; readonly reads: string };
  readonly rounds: readonly number[];
}

interface Advised {
  readonly client: Readonly<Record<string, unknown>>;
  readonly link: Readonly<Record<string, unknown>>;
  readonly store: { readonly versions: Readonly<Record<string, string>>; readonly privilegedPorts: string };
  readonly measurements: { readonly results: readonly Result[]; readonly failed: readonly unknown[] };
  readonly advice: { readonly version: { readonly version: string }; readonly commands: readonly string[] };
}

/** The middle of the rounds, of an odd number of them. */
function middle(rounds: readonly number[]): number {
  return [...rounds].sort((a, b) => a - b)[rounds.length >> 1] ?? 0;
}

/** The best of each version in long reads. */
function bests({ measurements }: Advised): Map<string, number> {
  const best = new Map<string, number>();
  for (const { trial, rounds } of measurements.results)
    if (trial.reads === 'stream')
      best.set(trial.version, Math.max(best.get(trial.version) ?? 0, middle(rounds)));
  return best;
}

/** That no mount, mount point or process of a measurement is left in the guest. */
const NOTHING_LEFT =
  '! grep calyx-advise /proc/self/mounts && ! ls -d /tmp/calyx-advise* 2>/dev/null && ! pgrep -f [m]ount-round.js';

/** Waits until a measurement is mounted, seen by the process that does it. */
const UNTIL_MOUNTED =
  'until cat $(pgrep -f [m]ount-round.js | sed "s,.*,/proc/&/mounts,") /dev/null 2>/dev/null | grep -q calyx-advise; do busybox usleep 5000; done';

describe.skipIf(guestUnavailable() !== undefined)('calyx advise on a machine that can mount', () => {
  const directory = suiteDirectory();
  let network: GuestNetwork;
  let guest: Guest;
  let store: Running;

  const startStore = async (...args: string[]): Promise<Running> => {
    const command = [join(ROOT, 'bin/calyx.mjs'), 'store', '--data', join(directory, 'data')];
    const listen = ['--listen', '127.0.0.1:0', '--nfs', `${HOST_ADDRESS}:2049`, '--allow', '10.97.0.0/24'];
    const running = network.start(process.execPath, [...command, ...listen, '--json', ...args]);
    await new Promise((resolve) => running.child.stdout?.once('data', resolve));
    return running;
  };

  beforeAll(async () => {
    await writeRandomModel(join(directory, 'model'), { blocks: 4, matrixBytes: 8 << 20, shards: 1, seed: 7 });
    const added = await calyx(
      'add',
      join(directory, 'model'),
      '--name',
      'acme/big',
      '--data',
      join(directory, 'data'),
    );
    expect(added.code, added.stderr).toBe(0);
    network = await createNetwork({ guests: 1 });
    store = await startStore();
    guest = await startGuest(network);
  });
  afterAll(() => network.close());

  it(
    'measures every version by mounting it, and picks the fastest that it measured',
    { timeout: LONG.timeoutMs },
    async () => {
      const advised = JSON.parse(
        await guest.sh(`${ADVISE} --seconds 10 --json --apply fstab --yes`, LONG),
      ) as Advised;
      expect(advised.measurements.failed).toEqual([]);
      const best = bests(advised);
      expect([...best.keys()].sort()).toEqual(['3', '4.1', '4.2']);
      expect(advised.measurements.results.every(({ trial }) => trial.by === 'mount')).toBe(true);
      const fastest = Math.max(...best.values());
      const equals = ['4.2', '4.1', '3'].filter((each) => (best.get(each) ?? 0) >= fastest * (1 - NOISE));
      expect(advised.advice.version.version, JSON.stringify([...best])).toBe(equals[0]);
      expect(advised.client).toMatchObject({
        modules: { nfs: 'loaded', nfsv3: 'loaded', nfsv4: 'loaded' },
        mountHelper: true,
        mayMount: true,
        cores: 1,
        readAheadKb: 128,
      });
      expect(advised.link).toMatchObject({
        address: HOST_ADDRESS,
        interface: 'vec0',
        loopback: false,
        mtu: 1500,
      });
      expect(advised.store).toEqual({
        versions: { '3': 'yes', '4.1': 'yes', '4.2': 'yes' },
        privilegedPorts: 'no',
        tls: 'offered',
      });
      await guest.sh(NOTHING_LEFT);

      // What it says is what works, and so is what it wrote.
      const { commands } = advised.advice;
      await guest.sh(commands.join('\n'));
      const value = commands.at(-1)?.split(' ')[1] ?? '';
      const knob = '/sys/class/bdi/$(mountpoint -d /mnt/calyx)/read_ahead_kb';
      const seen = await guest.sh(`ls /mnt/calyx/models/acme; cat ${knob}; umount /mnt/calyx`);
      expect(seen).toMatch(new RegExp(`^big\\n[^]*\\n${value}\\n$`));
      const options = await guest.sh(
        'mount /mnt/calyx; grep " /mnt/calyx " /proc/self/mounts; umount /mnt/calyx',
      );
      expect(options).toContain(`vers=${advised.advice.version.version},`);
      expect(options).toContain('acregmin=3600,acregmax=3600,acdirmin=1,acdirmax=1');
    },
  );

  it.each(['INT', 'TERM'])(
    'leaves nothing behind when SIG%s ends it while it has a mount',
    { timeout: LONG.timeoutMs },
    async (signal) => {
      const run = `set +e; ${ADVISE} --seconds 60 & ${UNTIL_MOUNTED}; kill -${signal} $!; wait $!; echo ended $?; set -e; ${NOTHING_LEFT}`;
      // A shell without job control starts its background processes with SIGINT ignored, which node takes back.
      expect(await guest.sh(run, LONG)).toContain(`ended ${signal === 'INT' ? 130 : 143}`);
    },
  );

  it('leaves no mount behind when it is killed', { timeout: LONG.timeoutMs }, async () => {
    const run = `${ADVISE} --seconds 60 & ${UNTIL_MOUNTED}; kill -KILL $!; while pgrep -f [m]ount-round.js; do busybox usleep 20000; done >/dev/null; ! grep calyx-advise /proc/self/mounts; rm -d -f /tmp/calyx-advise*`;
    await guest.sh(run, LONG);
  });

  it('mounts also without unshare and without mount.nfs', { timeout: LONG.timeoutMs }, async () => {
    await guest.sh('mkdir -p /run/away; mv /usr/bin/unshare /usr/sbin/mount.nfs /run/away');
    try {
      const advised = JSON.parse(await guest.sh(`${ADVISE} --seconds 2 --json`, LONG)) as Advised;
      expect(advised.measurements.failed).toEqual([]);
      expect([...bests(advised).keys()].sort()).toEqual(['3', '4.1', '4.2']);
      expect(advised.client).toMatchObject({ mountHelper: false });
      await guest.sh(NOTHING_LEFT);
      await guest.sh(
        `set +e; ${ADVISE} --seconds 60 & ${UNTIL_MOUNTED}; kill -TERM $!; wait $!; set -e; ${NOTHING_LEFT}`,
        LONG,
      );
    } finally {
      await guest.sh('mv /run/away/unshare /usr/bin; mv /run/away/mount.nfs /usr/sbin');
    }
  });

  it('sees that a store wants privileged ports', { timeout: LONG.timeoutMs }, async () => {
    store.child.kill('SIGTERM');
    await store.ended;
    store = await startStore('--privileged-ports');
    const advised = JSON.parse(await guest.sh(`${ADVISE} --seconds 1 --json`, LONG)) as Advised;
    expect(advised.store.privilegedPorts).toBe('yes');
    expect(advised.measurements.failed).toEqual([]);
  });

  it(
    'ends with an error when the store stops answering, and leaves nothing',
    { timeout: LONG.timeoutMs },
    async () => {
      store.child.kill('SIGTERM');
      await store.ended;
      store = await startStore();
      const ended = guest.run(`${ADVISE} --seconds 60`, LONG);
      await guest.sh(UNTIL_MOUNTED, LONG);
      store.child.kill('SIGSTOP');
      const { code, stderr } = await ended;
      expect(code).toBe(1);
      expect(stderr).toContain(`${HOST_ADDRESS}:2049 did not answer`);
      store.child.kill('SIGCONT');
      await guest.sh(
        `while pgrep -f [m]ount-round.js >/dev/null; do busybox usleep 20000; done; ${NOTHING_LEFT}`,
        LONG,
      );
    },
  );

  it('tells within seconds what to check where no store answers', async () => {
    const ended = await guest.run(`${COMMAND} advise --nfs ${HOST_ADDRESS}:2050`);
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`nothing listens on ${HOST_ADDRESS}:2050`);
    expect(ended.stderr).toContain('--nfs');
  });
});
