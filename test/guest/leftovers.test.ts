import { existsSync, readdirSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { start } from '../support/cli.js';
import { ROOT } from '../support/directories.js';
import { guestUnavailable } from '../support/guest/availability.js';

// A test run that boots a guest, has a server with a child, and says where all this lives.
const RUN = `
  import { readlinkSync } from 'node:fs';
  import { createNetwork } from '${ROOT}dist/test/support/guest/network.js';
  import { startGuest } from '${ROOT}dist/test/support/guest/guest.js';
  const network = await createNetwork({ guests: 1 });
  const server = network.start('sh', ['-c', 'readlink /proc/self/ns/net; sleep 600 & sleep 600']);
  const space = await new Promise((resolve) => server.child.stdout.once('data', resolve));
  const guest = await startGuest(network, { memoryMib: 256 });
  guest.run('sleep 600').catch(() => undefined);
  process.stdout.write(space + guest.directory);
`;

describe.skipIf(guestUnavailable() !== undefined)('guests and what runs in their network', () => {
  it.each([
    ['it is killed', 'setInterval(() => {}, 1000)'],
    [
      'it closes the network',
      'process.stdin.once("data", async () => { await network.close(); process.exit() })',
    ],
  ])('are gone with the test run when %s', async (_, ending) => {
    const run = start(process.execPath, ['--input-type=module', '-e', RUN + ending], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const told = new Promise<string>((resolve) => run.child.stdout?.once('data', resolve));
    const [space = '', directory = ''] = (
      await Promise.race([told, run.ended.then((ended) => ended.stderr)])
    ).split('\n');
    expect(space).toMatch(/^net:\[\d+\]$/);
    expect(processesIn(space).length).toBeGreaterThanOrEqual(5);
    expect(existsSync(directory)).toBe(true);
    if (ending.includes('stdin')) run.child.stdin?.write('\n');
    else run.child.kill('SIGKILL');
    await run.ended;
    await expect.poll(() => processesIn(space), { timeout: 10_000 }).toEqual([]);
    expect(existsSync(dirname(directory))).toBe(false);
  });
});

/** The processes whose network this is. */
function processesIn(space: string): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readlinkSync(join('/proc', name, 'ns/net')) === space;
    } catch {
      // It ended meanwhile.
      return false;
    }
  });
}
