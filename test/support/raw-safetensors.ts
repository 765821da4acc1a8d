/** The bytes of a safetensors file with any header, right or wrong, written without the code under test. */
export function rawSafetensors(
  header: string | Uint8Array,
  data: number | Uint8Array = 0,
  lengthField?: bigint,
): Buffer {
  const json = typeof header === 'string' ? Buffer.from(header) : header;
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(lengthField ?? BigInt(json.byteLength));
  return Buffer.concat([length, json, typeof data === 'number' ? Buffer.alloc(data) : data]);
}

/** A valid file whose tensors are one F32 row of 4 numbers each, in this order. */
export function smallSafetensors(...names: string[]): Buffer {
  const entries = names.map((name, index) => [
    name,
    { dtype: 'F32', shape: [4], data_offsets: [16 * index, 16 * index + 16] },
  ]);
  return rawSafetensors(JSON.stringify(Object.fromEntries(entries)), 16 * names.length);
}
