import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { calyx, startCalyx } from '../support/cli.js';
import { suiteDirectory } from '../support/directories.js';
import { startStore } from '../support/running-store.js';

const data = join(suiteDirectory(), 'store');
const store = (...args: string[]) => calyx('store', '--data', data, '--listen', '127.0.0.1:0', ...args);

describe('where NFS is served, and for whom', () => {
  it.each([
    [['--nfs', '0.0.0.0:0'], 1, 'without --allow would let every machine', "--allow '10.0.0.0/24=ORG/*'"],
    [['--nfs', '[::]:0'], 1, 'without --allow would let every machine', '--allow'],
    [['--nfs', 'store.lan:0'], 1, 'without --allow would let every machine', '--allow'],
    [['--nfs', '127.0.0.1'], 2, 'is not an address to listen on', '127.0.0.1:'],
    [['--nfs', '192.0.2.1:0', '--allow', '192.0.2.0/24'], 2, 'cannot listen on 192.0.2.1', 'this machine'],
    [['--allow', '10.0.0.0/33'], 2, "--allow '10.0.0.0/33' names no addresses", '10.0.0.0/24'],
    [['--allow', 'client.lan'], 2, "--allow 'client.lan' names no addresses", 'CIDR'],
    [['--allow', '10.0.0.0/8=acme'], 2, "'acme' is no pattern of models", 'ORG/NAME'],
  ])('%j is refused, with the way out', async (args, code, message, way) => {
    const ended = await store(...args, '--json');
    expect(ended.stderr).toContain(message);
    expect(ended.stderr).toContain(way);
    expect(ended.stderr).not.toMatch(/\bat .*\.js:/);
    expect(ended).toMatchObject({ code, stdout: '' });
  });

  it('a port that was asked for and is taken is an error', async () => {
    const other = await startStore(`${data}-other`, { nfs: '127.0.0.1:0' });
    const ended = await store('--nfs', `127.0.0.1:${other.nfs?.port ?? 0}`);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain(`the port ${other.nfs?.port ?? 0} of 127.0.0.1 is in use`);
    expect(ended.stderr).toContain('--nfs HOST:PORT');
    expect((await other.stop()).code).toBe(0);
  });

  it('without being asked, a store takes the usual port, or says that it is taken', async () => {
    // Whoever has it, a server of this test or another one of this machine: it is taken.
    const holder = createServer();
    await new Promise<void>((resolve) => {
      holder.once('error', () => resolve());
      holder.listen(2049, '127.0.0.1', () => resolve());
    });
    const running = startCalyx(['store', '--data', data, '--listen', '127.0.0.1:0']);
    const said = await new Promise<string>((resolve) => {
      let text = '';
      running.child.stderr?.on('data', (piece: string) => {
        text += piece;
        if (text.includes('NFS')) resolve(text);
      });
    });
    expect(said).toContain('NFS is not served: the port 2049 of 127.0.0.1 is in use');
    expect(said).toContain('--nfs HOST:PORT');
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
    holder.close();
  });

  it('with --tls, which asks the users of the machine for tokens, a store serves none that nobody has asked for', async () => {
    const running = startCalyx(['store', '--data', data, '--listen', '127.0.0.1:0', '--tls']);
    const said = await new Promise<string>((resolve) => {
      let text = '';
      running.child.stderr?.on('data', (piece: string) => {
        text += piece;
        if (text.includes('NFS')) resolve(text);
      });
    });
    expect(said).toContain('NFS is not served, because with --tls nobody comes in unknown');
    running.child.kill('SIGTERM');
    expect((await running.ended).code).toBe(0);
    const asked = await startStore(data, { nfs: '127.0.0.1:0', args: ['--tls'] });
    expect(asked.nfs).not.toBeNull();
    expect((await asked.stop()).code).toBe(0);
  });

  it('says how to mount it: to people on stderr, to scripts as JSON', async () => {
    const open = await startStore(data, { nfs: '0.0.0.0:0', args: ['--allow', '10.0.0.0/24'] });
    const mount = open.nfs?.mount ?? {};
    expect(Object.keys(mount)).toEqual(['3', '4.1', '4.2']);
    for (const [version, command] of Object.entries(mount)) {
      expect(command).toContain(`vers=${version},`);
      expect(command).toContain(`port=${open.nfs?.port ?? 0},`);
      // An address for clients, rather than the one that means all.
      expect(command).not.toContain('0.0.0.0');
    }
    expect(mount['3']).toContain(`mountport=${open.nfs?.port ?? 0},nolock`);
    expect((await open.stop()).code).toBe(0);
  });

  it('--no-nfs serves none', async () => {
    const closed = await startStore(data);
    expect(closed.nfs).toBeNull();
    expect((await closed.stop()).code).toBe(0);
  });
});
