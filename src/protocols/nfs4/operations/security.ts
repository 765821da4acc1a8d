import { array, uint32, type Codec } from '../../xdr/codec.js';

/** AUTH_SYS first: the order is that of preference (RFC 8881, section 18.29.3). Both are only claims, and count the same here. */
export const SECURITY_FLAVORS = [1, 0] as const;

/** SECINFO4resok (RFC 8881, section 18.29.2); these flavors have nothing after their number. */
export const securityFlavors: Codec<readonly number[]> = array(uint32, SECURITY_FLAVORS.length);
