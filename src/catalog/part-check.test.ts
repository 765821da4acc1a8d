import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  emptyStore,
  FIXTURES,
  MODEL,
  materialize,
  publish,
  resolve,
  type FixtureName,
} from '../../test/support/catalog.js';
import { testDirectory } from '../../test/support/directories.js';
import type { PartId } from '../weights/parts.js';
import { checkFile } from './ingest/hash-file.js';
import { partCheck } from './part-check.js';
import { partContent } from './slice.js';

describe.each(Object.keys(FIXTURES) as FixtureName[])('the parts of %s', (name) => {
  test('are good as they are, and each changed byte is found in its chunk', async () => {
    const { layout, catalog } = emptyStore();
    await publish(layout, FIXTURES[name]);
    const { manifest } = await resolve(catalog);
    const path = join(testDirectory(), 'part');
    for (const part of ['embed', 0, manifest.blockCount - 1, 'head'] as PartId[]) {
      const bytes = materialize(partContent(manifest, part).segments, (blob) => layout.blob(MODEL, blob));
      writeFileSync(path, bytes);
      const job = partCheck(manifest, part, path);
      expect(job.size).toBe(bytes.byteLength);
      expect(checkFile(job, () => undefined)).toEqual([]);
      // In the header, at the first byte of the data, and at the last.
      const header = name === 'gguf' ? (job.tensors[0]?.offset ?? 0) : 8 + Number(bytes.readBigUInt64LE(0));
      for (const position of [9, header, bytes.byteLength - 1]) {
        const changed = readFileSync(path);
        changed.writeUInt8(changed.readUInt8(position) ^ 0x80, position);
        writeFileSync(path, changed);
        const [bad, ...more] = checkFile(job, () => undefined);
        expect(more).toEqual([]);
        expect(bad?.offset).toBeLessThanOrEqual(position);
        expect((bad?.offset ?? 0) + (bad?.length ?? 0)).toBeGreaterThan(position);
        writeFileSync(path, bytes);
      }
    }
  });
});
