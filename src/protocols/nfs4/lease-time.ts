/**
 * How long a client's state lives without a renewal, in seconds (RFC 8881, section 8.3): the attribute lease_time says it, and state
 * expires by it.
 */
export const LEASE_SECONDS = 90;
