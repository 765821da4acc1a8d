import { describe, expect, it } from 'vitest';
import { layOutPart, partFile, partOfFile } from './parts.js';

describe('part files', () => {
  it.each([
    [0, 'block-00000.safetensors'],
    [4, 'block-00004.safetensors'],
    [9999, 'block-09999.safetensors'],
    ['embed', 'embed.safetensors'],
    ['head', 'head.safetensors'],
  ] as const)('%s is in %s', (part, file) => {
    expect(partFile(part, 'safetensors')).toBe(file);
    expect(partOfFile(file, 'safetensors')).toBe(part);
  });

  it.each(['block-4.safetensors', 'block-000004.safetensors', 'xembed.safetensors', 'embed.safetensors.tmp', '../embed.safetensors', 'model.safetensors', ''])(
    '%j is no part',
    (file) => {
      expect(partOfFile(file, 'safetensors')).toBeUndefined();
    },
  ); // prettier-ignore
});

describe('layOutPart', () => {
  const tensor = (name: string, dtype: string, shape: number[], length: number) =>
    ({ name, dtype, shape, length, offset: 12_345 }); // prettier-ignore

  it('puts wide elements first, keeps the order otherwise, and writes these bytes', () => {
    const { header, tensors, size } = layOutPart([
      tensor('scale', 'F8_E8M0', [3], 3),
      tensor('b', 'BF16', [2], 4),
      tensor('g', 'I64', [1], 8),
      tensor('a', 'BF16', [1, 3], 6),
      tensor('q', 'F4', [2], 1),
      tensor('n', 'F32', [], 4),
    ]);
    expect(tensors.map(({ name }) => name)).toEqual(['g', 'n', 'b', 'a', 'scale', 'q']);
    const json =
      '{"__metadata__":{"format":"pt"},' +
      '"g":{"dtype":"I64","shape":[1],"data_offsets":[0,8]},' +
      '"n":{"dtype":"F32","shape":[],"data_offsets":[8,12]},' +
      '"b":{"dtype":"BF16","shape":[2],"data_offsets":[12,16]},' +
      '"a":{"dtype":"BF16","shape":[1,3],"data_offsets":[16,22]},' +
      '"scale":{"dtype":"F8_E8M0","shape":[3],"data_offsets":[22,25]},' +
      '"q":{"dtype":"F4","shape":[2],"data_offsets":[25,26]}}';
    expect(json).toHaveLength(369);
    expect(Buffer.from(header).toString('latin1')).toBe(`\x78\x01\0\0\0\0\0\0${json}       `);
    expect(size).toBe(8 + 376 + 26);
  });

  it('aligns each tensor to its elements', () => {
    const odd = [
      tensor('u8', 'U8', [5], 5),
      tensor('f16', 'F16', [3], 6),
      tensor('f64', 'F64', [1], 8),
      tensor('f32', 'F32', [3], 12),
      tensor('long-name-that-moves-the-data', 'BOOL', [7], 7),
    ];
    const elementBytes = new Map(Object.entries({ u8: 1, f16: 2, f64: 8, f32: 4 }));
    for (let count = 1; count <= odd.length; count += 1) {
      const { header, tensors } = layOutPart(odd.slice(0, count));
      let position = header.byteLength;
      expect(position % 8).toBe(0);
      for (const { name, length } of tensors) {
        expect(position % (elementBytes.get(name) ?? 1)).toBe(0);
        position += length;
      }
    }
  });

  it('depends on nothing but the tensors: not on where they lie, and not on the order of the caller’s list', () => {
    const list = [tensor('a', 'U8', [1], 1), tensor('b', 'F32', [1], 4)];
    const before = structuredClone(list);
    const { header } = layOutPart(list);
    expect(list).toEqual(before);
    expect(layOutPart(list.map((item) => ({ ...item, offset: 0, file: 'x' }))).header).toEqual(header);
  });
});
