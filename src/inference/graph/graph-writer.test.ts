import { expect, it } from 'vitest';
import { GraphWriter } from './graph-writer.js';

it('writes a ModelProto byte for byte', () => {
  const graph = new GraphWriter();
  graph.input('x', 1, [1, 'n']);
  graph.external({ name: 'w', dtype: 'BF16', shape: [2], file: 'f', offset: 300, length: 4 }, 16);
  graph.node('Cast', ['w'], { attributes: { to: 1 }, outputs: ['y'] });
  graph.output('y', 1, [2]);
  // Written out by hand from onnx.proto and the protobuf encoding guide.
  const node = '0a0177 120179 1a06436173745f30 2204 43617374 2a09 0a02746f 1801 a00102 3a00';
  const location = '6a0d 0a086c6f636174696f6e 120166';
  const offset = '6a0d 0a066f6666736574 1203333030';
  const length = '6a0b 0a066c656e677468 120134';
  const initializer = `0802 1010 420177 ${location} ${offset} ${length} 7001`;
  const input = '0a0178 120f 0a0d 0801 1209 0a020801 0a03 12016e';
  const output = '0a0179 120a 0a08 0801 1204 0a020802';
  const part = (tag: string, hex: string): string => tag + sizeOf(hex) + squeeze(hex);
  const body = [
    part('0a', node),
    '1206626c6f636b73',
    part('2a', initializer),
    part('5a', input),
    part('62', output),
  ].join('');
  const sets = '42040a001012' + '42110a0d636f6d2e6d6963726f736f66741001';
  const model = `0808 120563616c7978 ${part('3a', body)} ${sets}`;
  expect(Buffer.from(graph.finish()).toString('hex')).toBe(squeeze(model));
});

const squeeze = (hex: string): string => hex.replaceAll(' ', '');

/** A varint of the length of hex digits. */
function sizeOf(hex: string): string {
  const size = squeeze(hex).length / 2;
  const bytes = size < 128 ? [size] : [(size & 127) | 128, size >> 7];
  return Buffer.from(bytes).toString('hex');
}
