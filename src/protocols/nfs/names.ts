const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text of a name that a client sent; undefined if it is not UTF-8. */
export function decodeName(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Whether no entry of a directory can have this name, whatever is in it. */
export function cannotBeName(name: string): boolean {
  return name.includes('/') || name.includes('\0');
}
