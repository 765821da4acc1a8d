/** The most that one READ answers with; also the most that the Linux client asks for. */
export const MAX_READ_BYTES = 1024 * 1024;

/** Bytes of a name in a directory. */
export const MAX_NAME_BYTES = 255;
