const OFFSET_BASIS = 0x811c_9dc5;
const PRIME = 0x0100_0193;
/**
 * Names, handles and offsets stand at the beginning; what follows in a long request is data that nobody
 * takes.
 */
const MAX_BYTES = 1024;

/**
 * 32 bits that tell requests apart well enough to notice a retry that is none: FNV-1a over the lengths and
 * the first bytes of all.
 */
export function requestDigest(pieces: readonly Uint8Array[]): number {
  let hash = OFFSET_BASIS;
  for (const piece of pieces) {
    hash = Math.imul(hash ^ piece.byteLength, PRIME);
    const end = Math.min(piece.byteLength, MAX_BYTES);
    for (let index = 0; index < end; index += 1) hash = Math.imul(hash ^ (piece[index] ?? 0), PRIME);
  }
  return hash >>> 0;
}
