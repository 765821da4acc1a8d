/** Bytes of a handle (NFS4_FHSIZE). */
export const MAX_HANDLE_BYTES = 128;

/** Bytes of a name in a directory. */
export const MAX_NAME_BYTES = 255;

/** Bytes that one READ gives; also what the Linux client asks for at most. */
export const MAX_READ_BYTES = 1024 * 1024;
