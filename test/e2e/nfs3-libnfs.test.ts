import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mountProgram } from '../../src/protocols/nfs3/mount/mount-program.js';
import { nfs3Program } from '../../src/protocols/nfs3/nfs3-program.js';
import { createRpcServer } from '../../src/protocols/rpc/create-rpc-server.js';
import { BufferPool } from '../../src/storage/buffer-pool.js';
import { blobName, testBytes } from '../support/blobs.js';
import { testDirectory } from '../support/directories.js';
import { libnfs, nfsUrl, noLibnfs, sha256OverNfs } from '../support/libnfs.js';
import { MemorySource } from '../support/memory-source.js';
import { MemoryTree } from '../support/memory-tree.js';
import { testExports } from '../support/nfs3-call.js';

const MIB = 1024 * 1024;

const weights = testBytes(5 * MIB + 12_345, 'weights');
const header = testBytes(1001, 'header');
const part = Buffer.concat([header, weights.subarray(4097, 4097 + 2 * MIB)]);

const tree = new MemoryTree({
  'models/org/name/config.json': '{"model_type": "llama"}\n',
  'models/org/name/empty': '',
  'models/org/name/model.safetensors': [{ blob: blobName(weights), offset: 0, length: weights.byteLength }],
  'slices/org/name/0-4+embed/block-00000.safetensors': [
    { literal: header },
    { blob: blobName(weights), offset: 4097, length: 2 * MIB },
  ],
});
tree.hide('slices/org/name/0-4+embed');
const many = Array.from({ length: 10_000 }, (_, index) => `entry-${index}`);
for (const name of many) tree.put(`many/${name}`, name);

const pool = new BufferPool();
const exports = testExports(tree, new MemorySource('memory', new Map([[blobName(weights), weights]]), pool));
const server = createRpcServer([nfs3Program(exports), mountProgram(exports)]);
let port = 0;

describe.skipIf(noLibnfs)(
  `NFS version 3 for libnfs${noLibnfs === undefined ? '' : ` (skipped: ${noLibnfs})`}`,
  () => {
    beforeAll(async () => {
      ({ port } = await server.listen({ host: '127.0.0.1', port: 0 }));
    });
    afterAll(() => server.close());

    const url = (path: string): string => nfsUrl(port, path, 3);

    it.each([
      ['/models/org/name/config.json', Buffer.from('{"model_type": "llama"}\n')],
      ['/models/org/name/empty', Buffer.alloc(0)],
      ['/models/org/name/model.safetensors', weights],
      ['/slices/org/name/0-4+embed/block-00000.safetensors', part],
    ])('%s has the right bytes', async (path, content) => {
      expect(await sha256OverNfs(url(path))).toBe(blobName(content));
    });

    it('lists a directory with modes, owners and sizes', async () => {
    const { code, stdout } = await libnfs('nfs-ls', url('/models/org/name'));
    expect(code).toBe(0);
    expect(stdout.trimEnd().split('\n').map((line) => line.trim().split(/\s+/)).sort()).toEqual([
      ['-r--r--r--', '1', '0', '0', '0', 'empty'],
      ['-r--r--r--', '1', '0', '0', '24', 'config.json'],
      ['-r--r--r--', '1', '0', '0', String(weights.byteLength), 'model.safetensors'],
    ]);
  }); // prettier-ignore

    it('lists what lies below, and not what is hidden', async () => {
      const { code, stdout } = await libnfs('nfs-ls', '-R', url('/slices'));
      expect(code).toBe(0);
      expect(stdout).toContain('name');
      expect(stdout).not.toContain('0-4+embed');
    });

    it('lists 10,000 entries completely', async () => {
    const { code, stdout } = await libnfs('nfs-ls', url('/many'));
    expect(code).toBe(0);
    const names = stdout.trimEnd().split('\n').map((line) => line.split(/\s+/).at(-1));
    expect(names.sort()).toEqual([...many].sort());
  }); // prettier-ignore

    it('says what is not there, or no directory', async () => {
      const missing = await libnfs('nfs-cat', url('/models/org/name/none'));
      expect(missing.code).not.toBe(0);
      expect(missing.stderr).toContain('NFS3ERR_NOENT');
      const file = await libnfs('nfs-ls', url('/models/org/name/config.json'));
      expect(file.code).not.toBe(0);
      expect(file.stderr).toContain('NOTDIR');
    });

    it('refuses a new file: the file system is read-only', async () => {
      const local = join(testDirectory(), 'local');
      writeFileSync(local, 'new');
      const { code, stderr } = await libnfs('nfs-cp', local, url('/models/org/name/new'));
      expect(code).not.toBe(0);
      expect(stderr).toContain('NFS3ERR_ROFS');
    });

    it('leaves nothing on loan, and nothing to report', async () => {
      await expect.poll(() => server.load()).toMatchObject({ calls: 0, replyBytes: 0 });
      // A lease that was not given back would be missing here.
      const all = await pool.take(64 * MIB, AbortSignal.timeout(5000));
      all.release();
      expect(exports.errors).toEqual([]);
    });
  },
);
