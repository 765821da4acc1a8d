/** Bytes of a handle (NFS4_FHSIZE). */
export const MAX_HANDLE_BYTES = 128;
