import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeTensorMessage, encodeTensorMessage, MAX_HEADER_BYTES } from './tensor-message.js';

/** A message from a header and data, with the header's length before it. */
function raw(header: string, data: Uint8Array = new Uint8Array(0)): Buffer {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(header)));
  return Buffer.concat([length, Buffer.from(header), data]);
}
const header = (changes: object = {}, name = 'hidden_states'): string =>
  JSON.stringify({ [name]: { dtype: 'F32', shape: [1, 1, 2], data_offsets: [0, 8], ...changes } });
const EIGHT = Buffer.from('0000803f000000c0', 'hex');

describe('tensor messages', () => {
  it('writes the safetensors format byte for byte', () => {
    const message = { name: 'hidden_states', shape: [1, 1, 2], data: Float32Array.of(1, -2) } as const;
    const json = '{"hidden_states":{"dtype":"F32","shape":[1,1,2],"data_offsets":[0,8]}}  ';
    expect(Buffer.concat(encodeTensorMessage(message))).toEqual(
      Buffer.concat([Buffer.from([72, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(json), EIGHT]),
    );
  });

  it('reads what another writer wrote, at any alignment', () => {
    const body = Buffer.concat([
      Buffer.alloc(3),
      raw(`{"__metadata__":{"a":"b"},${header().slice(1)}`, EIGHT),
    ]).subarray(3);
    expect(decodeTensorMessage(body)).toEqual({
      name: 'hidden_states',
      shape: [1, 1, 2],
      data: Float32Array.of(1, -2),
    });
    const ids = '{"input_ids":{"dtype":"I64","shape":[1,1],"data_offsets":[0,8]}}';
    expect(decodeTensorMessage(raw(ids, Buffer.from('0500000000000000', 'hex')))).toMatchObject({
      data: BigInt64Array.of(5n),
    });
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['half a length', Buffer.alloc(7)],
    ['a header past the end', raw(header()).subarray(0, 40)],
    ['a huge header length', Buffer.from('ffffffffffffffff', 'hex')],
    ['a long header', raw(' '.repeat(MAX_HEADER_BYTES + 1))],
    ['no JSON', raw('{')],
    ['no object', raw('null')],
    ['no tensor', raw('{}')],
    ['two tensors', raw(`{${header().slice(1, -1)},${header({}, 'logits').slice(1)}`, EIGHT)],
    ['the same tensor twice', raw(`{${header().slice(1, -1)},${header().slice(1)}`, EIGHT)],
    ['a shape twice', raw(header().replace('"shape":', '"shape":[1,1,3],"shape":'), EIGHT)],
    ['a list', raw('[]')],
    ['another name', raw(header({}, 'weights'), EIGHT)],
    ['a name from the prototype', raw(header({}, '__proto__'), EIGHT)],
    ['another dtype', raw(header({ dtype: 'BF16' }), EIGHT)],
    ['a negative size', raw(header({ shape: [1, -1, -2] }), EIGHT)],
    ['a fraction', raw(header({ shape: [1, 0.5, 4] }), EIGHT)],
    ['a batch of two', raw(header({ shape: [2, 1, 1] }), EIGHT)],
    ['another rank', raw(header({ shape: [1, 2] }), EIGHT)],
    ['too little data', raw(header(), EIGHT.subarray(1))],
    ['trailing bytes', raw(header(), Buffer.concat([EIGHT, Buffer.alloc(1)]))],
    ['a shape that overflows', raw(header({ shape: [1, 2 ** 40, 2 ** 40] }), EIGHT)],
    ['shifted offsets', raw(header({ data_offsets: [4, 8] }), EIGHT)],
    ['no offsets', raw(header({ data_offsets: null }), EIGHT)],
  ])('refuses %s', (_what, body) => {
    expect(() => decodeTensorMessage(body)).toThrow(expect.objectContaining({ code: 'usage' }));
  });

  it('answers any bytes with a message or an error of ours', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, framed) => {
        const body = framed ? raw(Buffer.from(bytes).toString('latin1')) : Buffer.from(bytes);
        expect(() => decodeTensorMessage(body)).toThrow(expect.objectContaining({ code: 'usage' }));
      }),
    );
  });
});
