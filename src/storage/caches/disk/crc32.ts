const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * The CRC-32 of `bytes[start, end)` as in ISO 3309 and zlib; Node has one only since version 22.
 *
 * @param before the CRC-32 of what stands before these bytes
 */
export function crc32(bytes: Uint8Array, start = 0, end = bytes.byteLength, before = 0): number {
  let value = ~before;
  for (let at = start; at < end; at += 1) {
    value = (value >>> 8) ^ (TABLE[(value ^ (bytes[at] ?? 0)) & 0xff] ?? 0);
  }
  return ~value >>> 0;
}
