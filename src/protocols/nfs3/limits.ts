/** The most data that a WRITE may carry, though none is ever written: what a client sends must be received before it is refused. */
export const MAX_WRITE_BYTES = 64 * 1024;

/** The most that one READDIR or READDIRPLUS answers with, so that none keeps others waiting. */
export const MAX_LISTING_BYTES = 64 * 1024;

/** What sizes of transfers should be multiples of: a page. */
export const TRANSFER_MULTIPLE = 4096;
