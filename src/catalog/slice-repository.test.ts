import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseSliceRepository, sliceCommit, sliceRepositoryName } from './slice-repository.js';

const model = { org: 'acme', name: 'tiny' };

describe('the name of a slice among models', () => {
  it.each([
    ['tiny_blocks_4-8', { start: 4, end: 8 }, false, false],
    ['tiny_blocks_0-4_embed', { start: 0, end: 4 }, true, false],
    ['tiny_blocks_8-12_head', { start: 8, end: 12 }, false, true],
    ['tiny_blocks_0-12_embed_head', { start: 0, end: 12 }, true, true],
  ])('%s is read and written', (name, blocks, embed, head) => {
    const slice = { model, spec: { blocks, embed, head } };
    expect(parseSliceRepository({ org: 'acme', name })).toEqual(slice);
    expect(sliceRepositoryName(slice)).toEqual({ org: 'acme', name });
  });

  it.each([
    'tiny',
    'tiny_blocks_',
    '_blocks_1-2',
    'tiny_blocks_4-4',
    'tiny_blocks_8-4',
    'tiny_blocks_04-8',
    'tiny_blocks_4-8_head_embed',
    'tiny_blocks_4-8+embed',
    'tiny_blocks_4-8_tail',
    'tiny-_blocks_4-8',
    'tiny_blocks_4-800000',
  ])('%s is no such name', (name) => {
    expect(parseSliceRepository({ org: 'acme', name })).toBeUndefined();
  });
});

describe('the commit of a slice', () => {
  const spec = { blocks: { start: 4, end: 8 }, embed: true, head: false };
  const revision = 'a'.repeat(40);

  it('is a hash of what it depends on', () => {
    const text = `calyx-slice-1\nacme/tiny\n${revision}\n4-8+embed`;
    const hash = createHash('sha256').update(text).digest('hex').slice(0, 40);
    expect(sliceCommit({ model, spec }, revision)).toBe(hash);
  });

  it('is another one for another revision, model or set of parts', () => {
    const commits = [
      sliceCommit({ model, spec }, revision),
      sliceCommit({ model, spec }, 'b'.repeat(40)),
      sliceCommit({ model: { ...model, org: 'beta' }, spec }, revision),
      sliceCommit({ model, spec: { ...spec, head: true } }, revision),
      sliceCommit({ model, spec: { ...spec, blocks: { start: 4, end: 7 } } }, revision),
    ];
    expect(new Set(commits).size).toBe(commits.length);
  });
});
