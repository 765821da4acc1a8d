/**
 * Bytes that are not what they should be by RFC 4506: cut off, wrongly padded, longer than their maximum, or followed by others.
 * Who decodes maps it to the protocol's own answer.
 */
export class XdrError extends Error {
  override readonly name = 'XdrError';
}
