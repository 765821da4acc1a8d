import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { guestUnavailable } from '../support/guest/availability.js';
import { startGuest, type Guest } from '../support/guest/guest.js';
import { createNetwork, HOST_ADDRESS, type GuestNetwork } from '../support/guest/network.js';

describe.skipIf(guestUnavailable() !== undefined)('guests with a kernel of their own', () => {
  let network: GuestNetwork;
  let one: Guest;
  let two: Guest;

  beforeAll(async () => {
    network = await createNetwork({ guests: 2 });
    [one, two] = await Promise.all([startGuest(network), startGuest(network)]);
  });
  afterAll(() => network.close());

  it('run a Linux kernel with its NFS client, as root', async () => {
    expect(await one.sh('uname -sm; id -u')).toBe('Linux x86_64\n0\n');
    expect(await one.sh('uname -r')).toMatch(
      new RegExp(`^${process.env['CALYX_GUEST_KERNEL'] ?? '[6-9]'}\\.`),
    );
    expect(await one.sh('cat /proc/cpuinfo')).toContain('User Mode Linux');
    const filesystems = (await one.sh('cat /proc/filesystems')).split('\n');
    expect(filesystems).toContain('nodev\tnfs');
    expect(filesystems).toContain('nodev\tnfs4');
    expect(await one.sh('mount.nfs -V')).toContain('nfs-utils');
  });

  it('run the node and the python of the host', async () => {
    expect(await one.sh('node -p process.version')).toBe(`${process.version}\n`);
    expect(await one.sh('python3 -c "print(6 * 7)"')).toBe('42\n');
  });

  it("reach the host's end and each other, and have addresses of their own", async () => {
    for (const address of [HOST_ADDRESS, two.address]) await one.sh(`busybox ping -c 1 -w 10 ${address}`);
    expect([one.address, two.address].sort()).toEqual(['10.97.0.2', '10.97.0.3']);
    // Whoever listens says the word, and ends by it: what busybox's nc is sent may be lost when its own input has ended.
    const say = 'require("net").createServer((to) => to.end("hello\\n", () => process.exit())).listen(7000)';
    const saying = two.run(`node -e '${say}'`);
    const heard = `until busybox nc -w 10 ${two.address} 7000; do busybox usleep 20000; done`;
    expect(await one.sh(heard)).toBe('hello\n');
    expect(await saying).toMatchObject({ code: 0 });
  });

  it("reach a server on the host's end", async () => {
    const answer =
      'require("http").createServer((_, to) => to.end("here\\n")).listen(8000, () => console.log("up"))';
    const server = network.start(process.execPath, ['-e', answer]);
    await new Promise((resolve) => server.child.stdout?.once('data', resolve));
    const read = `fetch('http://${HOST_ADDRESS}:8000').then((got) => got.text()).then(console.log)`;
    expect(await one.sh(`node -e "${read}"`)).toBe('here\n\n');
    server.child.kill('SIGKILL');
    expect(await server.ended).toMatchObject({ signal: 'SIGKILL' });
  });

  it('share a directory with the host, and write nowhere else', async () => {
    await writeFile(join(one.directory, 'question'), 'of the host');
    expect(await one.sh(`cat ${one.directory}/question; echo 'of the guest' >${one.directory}/answer`)).toBe(
      'of the host',
    );
    expect(await readFile(join(one.directory, 'answer'), 'utf8')).toBe('of the guest\n');
    await one.sh('echo mine >/etc/calyx-guest; cat /etc/calyx-guest');
    await expect(readFile('/etc/calyx-guest')).rejects.toThrow('ENOENT');
    expect((await two.run('cat /etc/calyx-guest')).code).toBe(1);
  });

  it('tell how a script ended, and what it said', async () => {
    expect(await one.run('echo out; echo err >&2; exit 7')).toEqual({
      code: 7,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect(await one.run('false; echo not reached')).toEqual({ code: 1, stdout: '', stderr: '' });
  });

  it('run scripts at the same time', async () => {
    const waiting = one.run('until test -e /run/go; do busybox usleep 20000; done; echo gone');
    await one.sh('touch /run/go');
    expect(await waiting).toMatchObject({ code: 0, stdout: 'gone\n' });
  });

  it('end a script that takes too long, and go on', async () => {
    const late = one.run('echo begun; sleep 600; echo "not reached" >/run/late', { timeoutMs: 5000 });
    await expect(late).rejects.toThrow(/not job\d+ after 5000 ms[^]*it said: begun/);
    await one.sh('until ! pgrep -x sleep; do busybox usleep 20000; done; test ! -e /run/late');
  });

  it('end with the words of the kernel when it panics', async () => {
    const panicked = two.run('echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 600');
    await expect(panicked).rejects.toThrow(/it ended[^]*Kernel panic/);
    two = await startGuest(network);
  });

  it('are gone when they are killed, with a script that ran', async () => {
    const running = two.run('sleep 600');
    const failed = expect(running).rejects.toThrow('it ended');
    await two.kill();
    await failed;
    await expect(two.run('true')).rejects.toThrow('it has ended');
    await expect(readFile(join(two.directory, 'settings.sh'))).rejects.toThrow('ENOENT');
    // Its port is free for another.
    two = await startGuest(network, { memoryMib: 256 });
    await two.sh(`busybox ping -c 1 -w 10 ${one.address}`);
  });
});
