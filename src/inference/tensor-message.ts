import { CalyxError, errorMessage } from '../core/errors.js';
import { parseStrictJson, type StrictJson } from '../core/strict-json.js';
import type { StageInput, StageOutput } from './stage-link.js';

/** The media type of a tensor message: a safetensors file of one tensor. */
export const TENSOR_MEDIA_TYPE = 'application/vnd.safetensors';

/** Room for the header of a message; one of ours takes about 100 bytes. */
export const MAX_HEADER_BYTES = 1024;
/** The length of the header stands first, as a little-endian 64-bit integer. */
const LENGTH_BYTES = 8;

/** What a message may hold: the name of its tensor decides about dtype and meaning. */
export type TensorMessage =
  | {
      readonly name: 'input_ids';
      readonly shape: readonly number[];
      readonly data: BigInt64Array<ArrayBuffer>;
    }
  | {
      readonly name: 'hidden_states' | 'logits';
      readonly shape: readonly number[];
      readonly data: Float32Array<ArrayBuffer>;
    };

const DTYPES = { input_ids: 'I64', hidden_states: 'F32', logits: 'F32' } as const;
const RANKS = { input_ids: 2, hidden_states: 3, logits: 2 } as const;

/** The largest message with `values` numbers of `width` bytes. */
export function maxMessageBytes(values: number, width: number): number {
  return LENGTH_BYTES + MAX_HEADER_BYTES + values * width;
}

/**
 * Writes a message: `input_ids` I64 `[1, n]`, `hidden_states` F32 `[1, n, hidden]` or `logits` F32 `[1, vocab]`.
 *
 * @returns header and data apart, so that the data is not copied
 * Source: the safetensors format (huggingface/safetensors README, "Format")
 */
export function encodeTensorMessage(message: TensorMessage): [header: Buffer, data: Buffer] {
  const { buffer, byteOffset, byteLength } = message.data;
  const json = JSON.stringify({
    [message.name]: {
      dtype: DTYPES[message.name],
      shape: message.shape,
      data_offsets: [0, byteLength],
    },
  });
  // Padded with spaces, so that the data begins at a multiple of 8, as the format's own writer does.
  const length = Math.ceil(json.length / 8) * 8;
  const header = Buffer.alloc(LENGTH_BYTES + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  header.write(json, LENGTH_BYTES, 'latin1');
  return [header, Buffer.from(buffer, byteOffset, byteLength)];
}

/**
 * Reads a message. Everything is checked: lengths, name, dtype, rank, shape, and that nothing follows.
 *
 * @throws CalyxError `usage` saying what is wrong
 */
export function decodeTensorMessage(body: Buffer): TensorMessage {
  if (body.length < LENGTH_BYTES) throw bad('it is shorter than its header');
  const headerLength = body.readBigUInt64LE(0);
  if (headerLength > MAX_HEADER_BYTES) throw bad(`its header has ${headerLength} bytes`);
  const start = LENGTH_BYTES + Number(headerLength);
  if (start > body.length) throw bad('it is shorter than its header');
  const [name, info] = parseHeader(body.toString('utf8', LENGTH_BYTES, start));
  const [dtype, shape, offsets] = ['dtype', 'shape', 'data_offsets'].map((key) => info.get(key));
  if (dtype !== DTYPES[name]) throw bad(`${name} must be ${DTYPES[name]}`);
  if (!isSizes(shape) || shape.length !== RANKS[name] || shape[0] !== 1)
    throw bad(`the shape of ${name} must have ${RANKS[name]} sizes and begin with 1`);
  const width = dtype === 'I64' ? BigInt64Array.BYTES_PER_ELEMENT : Float32Array.BYTES_PER_ELEMENT;
  const length = shape.reduce((product, size) => product * size, width);
  if (length !== body.length - start)
    throw bad(`it has ${body.length - start} bytes of data where the shape needs ${length}`);
  if (!isSizes(offsets) || offsets.length !== 2 || offsets[0] !== 0 || offsets[1] !== length)
    throw bad('data_offsets do not match the data');
  // A copy of its own: a body may lie anywhere in a pooled buffer, and typed arrays need alignment.
  const data = new ArrayBuffer(length);
  new Uint8Array(data).set(body.subarray(start));
  return name === 'input_ids'
    ? { name, shape, data: new BigInt64Array(data) }
    : { name, shape, data: new Float32Array(data) };
}

function parseHeader(text: string): [TensorMessage['name'], Map<string, StrictJson>] {
  let header: StrictJson;
  try {
    header = parseStrictJson(text, 'its header');
  } catch (error) {
    throw bad(errorMessage(error), error);
  }
  if (!(header instanceof Map)) throw bad('its header is no object');
  const entries = [...header].filter(([key]) => key !== '__metadata__');
  const [name, info] = entries[0] ?? [];
  if (entries.length !== 1 || name === undefined || !isName(name) || !(info instanceof Map))
    throw bad('it must hold exactly one of input_ids, hidden_states and logits');
  return [name, info];
}

function isName(name: string): name is TensorMessage['name'] {
  return Object.hasOwn(DTYPES, name);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && (size as number) >= 0);
}

function bad(what: string, cause?: unknown): CalyxError {
  return new CalyxError('usage', `the tensor message is malformed: ${what}`, { cause });
}

/** A stage's input as a message. */
export function inputMessage(input: StageInput, hiddenSize: number): TensorMessage {
  return input.kind === 'tokens'
    ? { name: 'input_ids', shape: [1, input.data.length], data: input.data }
    : {
        name: 'hidden_states',
        shape: [1, input.data.length / hiddenSize, hiddenSize],
        data: input.data,
      };
}

/** A stage's output as a message. */
export function outputMessage(output: StageOutput, hiddenSize: number): TensorMessage {
  return output.kind === 'logits'
    ? { name: 'logits', shape: [1, output.data.length], data: output.data }
    : {
        name: 'hidden_states',
        shape: [1, output.data.length / hiddenSize, hiddenSize],
        data: output.data,
      };
}
